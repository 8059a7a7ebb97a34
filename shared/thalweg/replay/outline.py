"""What a replay is before any of its messages is read: where its chunks are, what it says of itself, what is damaged."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import msgspec
from mcap.opcode import Opcode
from mcap.records import Attachment, AttachmentIndex, Channel, ChunkIndex, Footer, McapRecord, Metadata, MetadataIndex, Schema

from thalweg.errors import RejectedError
from thalweg.replay.completeness import Completeness, decode_completeness
from thalweg.replay.format import ABOUT, ACCOUNT, COMPLETENESS, EVIDENCE, MAGIC, MAX_RECORD_BYTES, SPEC
from thalweg.replay.records import HEAD, damaged, groups_from, read_record, records_from
from thalweg.wire.spec import DeploymentSpec

_FOOTER_BYTES = HEAD.size + 20
MAX_SUMMARY_BYTES = 256 << 20


@dataclass(slots=True)
class Outline:
    """See the module.

    Attributes:
        about: what was captured.
        spec: what ran; None where that is damaged.
        completeness: its own account; None where it has none, or one that was damaged: it is incomplete then.
        account: of the run, as JSON: what its evidence says as far as that was known; None where it has none.
        account_digest: hex, that it must have.
        channels: from the summary: topics by channel, with their schemas.
        chunks: where each begins, and the channels of its messages; all of them where that is not known (None).
        faults: what is damaged, as lines.
    """

    about: dict[str, str] = field(default_factory=dict)
    spec: DeploymentSpec | None = None
    completeness: Completeness | None = None
    account: bytes | None = None
    account_digest: str | None = None
    channels: list[Schema | Channel] = field(default_factory=list)
    chunks: list[tuple[int, frozenset[int] | None]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def outline_of(path: Path) -> Outline:
    """Reads the beginning and the summary of a file; where there is no summary, goes over all of it.

    Raises:
        RejectedError: `replay.unreadable`, it is no replay at all.
    """
    found = Outline()
    try:
        with path.open("rb") as file:
            start = _read_beginning(file, found, path)
            try:
                _read_summary(file, found)
            except RejectedError as error:
                found.faults.append(str(error))
                _go_over(file, start, found)
    except OSError as error:
        raise RejectedError(f"{path}: {error.strerror or error}", code="replay.unreadable") from error
    if (sha256(found.account).hexdigest() if found.account is not None else None) != found.account_digest:
        found.faults.append("the evidence in it was damaged")
        found.account = None
    if found.completeness is None:
        found.faults.append("it does not say how much there should be")
    return found


def _read_beginning(file: BinaryIO, found: Outline, path: Path) -> int:
    if file.read(len(MAGIC)) != MAGIC:
        raise RejectedError(f"{path} is no replay: it does not begin as an MCAP file", code="replay.unreadable")
    start = len(MAGIC)
    try:
        for record in records_from(file, len(MAGIC)):
            if record.opcode not in (Opcode.HEADER, Opcode.METADATA):
                break
            start = record.end
            if record.opcode == Opcode.METADATA:
                _take_metadata(found, read_record(Metadata, record.content))
    except RejectedError as error:
        found.faults.append(str(error))
    if found.about.get("format") != "thalweg-replay/1":
        found.faults.append("it does not say what was captured")
    return start


def _read_summary(file: BinaryIO, found: Outline) -> None:
    """Raises RejectedError: `replay.damaged`."""
    footer = footer_of(file)
    size = file.seek(0, 2) - len(MAGIC) - _FOOTER_BYTES - footer.summary_start
    if not 0 <= size <= MAX_SUMMARY_BYTES:
        raise damaged("there is no summary")
    file.seek(footer.summary_start)
    summary = file.read(size + HEAD.size + 16)  # with the footer up to the checksum, which covers that too
    if zlib.crc32(summary) != footer.summary_crc:
        raise damaged("the summary does not fit its checksum")
    for record in records_from(file, footer.summary_start):
        if record.opcode == Opcode.FOOTER:
            return
        if record.opcode == Opcode.SCHEMA:
            found.channels.append(read_record(Schema, record.content))
        elif record.opcode == Opcode.CHANNEL:
            found.channels.append(read_record(Channel, record.content))
        elif record.opcode == Opcode.CHUNK_INDEX:
            index = read_record(ChunkIndex, record.content)
            found.chunks.append((index.chunk_start_offset, frozenset(index.message_index_offsets)))
        elif record.opcode == Opcode.METADATA_INDEX:
            _take(found, lambda one: _take_metadata(found, one), file, read_record(MetadataIndex, record.content).offset, Metadata)
        elif record.opcode == Opcode.ATTACHMENT_INDEX:
            _take(found, lambda one: _take_attachment(found, one), file, read_record(AttachmentIndex, record.content).offset, Attachment)


def _take(found: Outline, take: Callable[..., None], file: BinaryIO, offset: int, kind: type[McapRecord]) -> None:
    """Reads a record elsewhere in the file, and comes back."""
    place = file.tell()
    try:
        take(read_record(kind, record_at(file, offset)))
    except RejectedError as error:
        found.faults.append(str(error))
    file.seek(place)


def record_at(file: BinaryIO, offset: int) -> bytes:
    """Content of the record that begins at `offset`. Raises RejectedError: `replay.damaged`."""
    file.seek(offset)
    head = file.read(HEAD.size)
    size = HEAD.unpack(head)[1] if len(head) == HEAD.size else MAX_RECORD_BYTES + 1
    content = file.read(size) if size <= MAX_RECORD_BYTES else b""
    if len(content) != size:
        raise damaged(f"there is no record at byte {offset:,}")
    return content


def footer_of(file: BinaryIO) -> Footer:
    """The end of a file. Raises RejectedError: `replay.damaged`."""
    end = file.seek(0, 2)
    file.seek(max(0, end - len(MAGIC) - _FOOTER_BYTES))
    data = file.read()
    if end < _FOOTER_BYTES + 2 * len(MAGIC) or not data.endswith(MAGIC) or data[0] != Opcode.FOOTER:
        raise damaged("it has no end")
    return read_record(Footer, data[HEAD.size : -len(MAGIC)])


def _go_over(file: BinaryIO, start: int, found: Outline) -> None:
    """Chunk by chunk; what stands behind the first damaged length cannot be found."""
    found.channels.clear()
    found.chunks.clear()
    end = start
    for group in groups_from(file, start):
        found.chunks.append((group.chunk.start, None))
        end = group.end
    try:
        for record in records_from(file, end):
            if record.opcode == Opcode.METADATA:
                _take_metadata(found, read_record(Metadata, record.content))
            elif record.opcode == Opcode.ATTACHMENT:
                _take_attachment(found, read_record(Attachment, record.content))
            elif record.opcode == Opcode.DATA_END:
                return
    except RejectedError as error:
        found.faults.append(str(error))


def _take_metadata(found: Outline, record: Metadata) -> None:
    if record.name == ABOUT:
        found.about = record.metadata
    elif record.name == COMPLETENESS:
        found.completeness = decode_completeness(record.metadata)
    elif record.name == EVIDENCE:
        found.account_digest = record.metadata.get("digest")


def _take_attachment(found: Outline, record: Attachment) -> None:
    if record.name == SPEC:
        try:
            found.spec = msgspec.json.decode(record.data, type=DeploymentSpec)
        except msgspec.DecodeError:
            found.faults.append("the spec in it cannot be read")
    elif record.name == ACCOUNT:
        found.account = record.data
