"""Records a deployment log into a replay: message by message in bounded memory, resumable after a kill at any instruction.

The same messages give the same file, byte for byte: chunks end by what is in them, no clock is read, nothing depends on when messages
came or how often the recording was resumed.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from mcap.records import Attachment, AttachmentIndex, Header, Metadata, MetadataIndex

from thalweg.errors import RejectedError
from thalweg.replay.chunks import Channels, ChunkBuilder, encode, entries_of, index_of, open_chunk
from thalweg.replay.completeness import Completeness, Counting, Stretch, encode_completeness
from thalweg.replay.format import ABOUT, ACCOUNT, CHUNK_BYTES, COMPLETENESS, EVIDENCE, LIBRARY, MAGIC, PROFILE, SPEC, Entry, entry_of
from thalweg.replay.records import Group, groups_from
from thalweg.replay.summary import Contents, ending
from thalweg.replay.tail import Tail
from thalweg.wire.logged import Logged


class Recorder:
    """One replay that is being written. Opening one that was begun goes on behind its last whole chunk and the tail.

    Args:
        path: of the file; while it is being written, its tail is beside it.
        about: what is captured, as metadata.
        spec: the deployment's spec as JSON, kept as an attachment.
        type_of: stream type of a (vertex, port).
        is_gapless: every message of the log is given, so that a missing sequence is a gap.
        start: the first sequence that is wanted.

    Raises:
        OSError: the files cannot be read or written.
    """

    def __init__(
        self,
        path: Path,
        about: Mapping[str, str],
        spec: bytes,
        type_of: Callable[[str, str], str | None],
        *,
        is_gapless: bool,
        start: int = 1,
    ) -> None:
        self._spec, self._start = spec, MAGIC + encode(Header(PROFILE, LIBRARY))
        self._path, self._tail_path = path, path.with_suffix(".tail")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
        self._tail = Tail(self._tail_path)
        self._channels = Channels(type_of)
        self._contents = Contents(self._channels)
        self._counting = Counting(is_gapless=is_gapless, start=start)
        self._builder = ChunkBuilder(self._channels)
        self._size = self._crc = 0
        self._resume(Metadata(ABOUT, dict(about)))

    @property
    def next_sequence(self) -> int:
        """The first sequence that it has not seen."""
        return self._counting.last + 1

    def add(self, message: Logged) -> None:
        """Records a message; one that it has already is ignored.

        Raises:
            OSError: the disk does not take it. What was recorded before stays whole.
        """
        if message.sequence >= self.next_sequence:
            self.add_entry(entry_of(message))

    def add_entry(self, entry: Entry) -> None:
        """Records a message that was recorded before, as in another replay.

        Raises:
            OSError: as for `add`.
        """
        self._take(entry)
        if self._builder.size_bytes >= CHUNK_BYTES:
            self._close_chunk()
        else:
            self._tail.append(entry)

    def entries(self) -> Iterator[Entry]:
        """Everything so far, read back; nothing may be added meanwhile.

        Raises:
            OSError: it cannot be read.
        """
        channels = Channels(lambda vertex, port: None)
        with self._path.open("rb") as file:
            for group in groups_from(file, self._contents.chunks[0].chunk_start_offset if self._contents.chunks else self._size):
                yield from list(entries_of(open_chunk(group.chunk.content), channels))
        yield from self._tail.read()

    def sync(self) -> None:
        """Lets everything so far reach the disk. Blocking; nothing may be added meanwhile."""
        os.fsync(self._file.fileno())
        self._tail.sync()

    def seal(
        self,
        written: Mapping[tuple[str, str], int],
        reason: str | None,
        *,
        spec: bytes | None = None,
        window: Stretch | None = None,
        account: Mapping[str, Any] | None = None,
    ) -> Completeness:
        """Ends the file.

        Args:
            written: records that each captured port has put out, as its vertex says.
            reason: why it is not whole, where that is known.
            spec: the spec as it is by now, where it has changed.
            window: which part of the run it is; None for all of it.
            account: what the evidence of the run will say, as far as that is known.

        Raises:
            OSError: the disk does not take it; call `cut` then.
        """
        if self._builder.size_bytes:
            self._close_chunk()
        found = self._counting.close(written, reason, window)
        self._write_attachment(SPEC, spec or self._spec)
        if account is not None:
            self._write_account(account)
        self._write_metadata(Metadata(COMPLETENESS, encode_completeness(found)))
        self._write(ending(self._contents, self._size, self._crc))
        self.sync()
        self._leave()
        return found

    def cut(self) -> None:
        """Ends the file where it is whole so far, as on a disk that is full: without an account, it says incomplete by itself."""
        self._file.truncate(self._size)
        self._leave()

    def close(self) -> None:
        """Closes the files; the recording can be resumed behind what was synced."""
        self._file.close()
        self._tail.close()

    def _leave(self) -> None:
        self.close()
        self._tail_path.unlink(missing_ok=True)

    def _take(self, entry: Entry) -> None:
        self._builder.add(entry)
        self._counting.add(entry)

    def _close_chunk(self) -> None:
        parts, index, counts = self._builder.finish(self._size)
        self._write(*parts)
        self._contents.add_chunk(index, counts)
        self._builder = ChunkBuilder(self._channels)
        self._tail.clear()

    def _write(self, *parts: bytes) -> None:
        """Appends; what was cut short by an error is cut off again."""
        try:
            for part in parts:
                view = memoryview(part)
                while view:
                    view = view[self._file.write(view) :]
        except OSError:
            self._file.truncate(self._size)
            self._file.seek(self._size)
            raise
        for part in parts:
            self._size += len(part)
            self._crc = zlib.crc32(part, self._crc)

    def _write_metadata(self, record: Metadata) -> None:
        body = encode(record)
        self._contents.metadata.append(MetadataIndex(self._size, len(body), record.name))
        self._write(body)

    def _write_account(self, account: Mapping[str, Any]) -> None:
        body = msgspec.json.encode(account, order="sorted")
        self._write_attachment(ACCOUNT, body)
        self._write_metadata(Metadata(EVIDENCE, {"verdict": str(account["verdict"]), "digest": sha256(body).hexdigest()}))

    def _write_attachment(self, name: str, data: bytes) -> None:
        body = encode(Attachment(0, 0, name, "application/json", data))
        self._contents.attachments.append(AttachmentIndex(self._size, len(body), 0, 0, len(data), name, "application/json"))
        self._write(body)

    def _resume(self, about: Metadata) -> None:
        """Goes over what is there, cuts off what is not whole, begins where there is nothing."""
        preamble = self._start + encode(about)
        self._file.seek(0)
        is_begun = self._file.read(len(preamble)) == preamble
        if not is_begun:
            self._file.truncate(0)
            self._tail.clear()
        self._file.seek(0)
        if is_begun:
            self._size, self._crc = len(preamble), zlib.crc32(preamble)
            self._contents.metadata.append(MetadataIndex(len(self._start), len(preamble) - len(self._start), ABOUT))
            self._adopt_chunks()
            self._file.truncate(self._size)
            self._file.seek(self._size)
        else:
            self._write(self._start)
            self._write_metadata(about)
        for entry in self._tail.read():
            if entry.sequence >= self.next_sequence:
                self._take(entry)

    def _adopt_chunks(self) -> None:
        for group in groups_from(self._file, self._size):
            try:
                self._adopt(group)
            except RejectedError:
                return

    def _adopt(self, group: Group) -> None:
        """Takes a chunk over that was written before.

        Raises:
            RejectedError: `replay.damaged`, it is not whole.
        """
        index, counts = index_of(group)
        for entry in list(entries_of(open_chunk(group.chunk.content), self._channels)):
            self._counting.add(entry)
        self._contents.add_chunk(index, counts)
        self._crc, self._size = zlib.crc32(group.raw(), self._crc), group.end
