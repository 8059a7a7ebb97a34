"""Keeps the last part of a deployment log on the disk: bounded in time and in bytes, in bounded memory, resumable after a kill.

Messages go to the tail, a file that is appended to. Once it holds `SEGMENT_BYTES`, it becomes a segment: compressed, named by what it
holds (first and last sequence, newest time), never changed again. Old segments are removed whole.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard

from thalweg.replay.format import Entry, decode_headers, entry_of
from thalweg.replay.tail import Tail, frame, unframe
from thalweg.wire.commit import HEADER, decode_commit
from thalweg.wire.logged import Logged
from thalweg.wire.subjects import parse_port

SEGMENT_BYTES = 1 << 20
MAX_SEGMENT_BYTES = 16 << 20  # a commit of one vertex that no other writes beside may be larger than that, and is then cut
_TAIL, _SUFFIX = "tail", ".segment"
_compressor = zstandard.ZstdCompressor(level=1)


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of the ring.

    Attributes:
        path: where it is.
        first, last: sequences.
        newest_ns: when its newest message was stored.
        size_bytes: of the file.
    """

    path: Path
    first: int
    last: int
    newest_ns: int
    size_bytes: int

    def entries(self) -> Iterator[Entry]:
        """What it holds; nothing of one that is damaged.

        Raises:
            OSError: it cannot be read.
        """
        try:
            data = zstandard.ZstdDecompressor().decompress(self.path.read_bytes())
        except zstandard.ZstdError:
            return
        for entry, _ in unframe(data):
            yield entry


@dataclass(frozen=True, slots=True)
class Extent:
    """What a ring holds: from which message to which, when they were stored, its size on the disk."""

    first: int
    last: int
    from_ns: int
    to_ns: int
    size_bytes: int


class Ring:
    """The last messages of one log.

    Args:
        folder: of its files; what a former copy has left there is taken over.
        last_s: how long back from its newest message it reaches.
        max_bytes: how large it may be on the disk; it reaches less far back then.

    Raises:
        OSError: the files cannot be read or written.
    """

    def __init__(self, folder: Path, last_s: float, max_bytes: int) -> None:
        self._folder, self.last_s, self._max_bytes = folder, last_s, max_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self._segments = _segments_of(folder)
        self._tail = Tail(folder / _TAIL)
        self._lock, self._reading = threading.Lock(), 0
        self._open: list[Entry] = []
        self._open_bytes = 0
        self._last = self._segments[-1].last if self._segments else 0
        self._first_ns = _first_time(self._segments[0]) if self._segments else 0
        for entry in self._tail.read():
            if entry.sequence > self._last:
                self._note(entry)

    @property
    def next_sequence(self) -> int:
        """The first sequence that it has not seen."""
        return self._last + 1

    def extent(self) -> Extent:
        """What there is; zeros while there is nothing."""
        with self._lock:
            size = sum(one.size_bytes for one in self._segments) + self._open_bytes
            first = self._segments[0].first if self._segments else self._open[0].sequence if self._open else 0
            newest = max((one.time_ns for one in self._open), default=self._segments[-1].newest_ns if self._segments else 0)
            return Extent(first, self._last, self._first_ns, newest, size)

    def add(self, message: Logged) -> None:
        """Takes a message; one that it has already is ignored.

        Raises:
            OSError: the disk does not take it. What was taken before stays whole.
        """
        if message.sequence <= self._last:
            return
        entry = entry_of(message)
        is_full = self._open_bytes >= SEGMENT_BYTES and is_boundary(self._open[-1], entry)
        if is_full or self._open_bytes >= MAX_SEGMENT_BYTES:
            self._close_segment()
        self._tail.append(entry)
        self._note(entry)

    def sync(self) -> None:
        """Lets everything so far reach the disk. Blocking; may be called from a thread while messages are added."""
        self._tail.sync()

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """What it has behind a sequence, as it is now: what is added meanwhile is left out, what is old is not removed.

        Raises:
            OSError: a file cannot be read.
        """
        with self._lock:
            segments, rest = list(self._segments), list(self._open)
            self._reading += 1
        try:
            for segment in segments:
                if segment.last > after:
                    yield from (entry for entry in segment.entries() if entry.sequence > after)
            yield from (entry for entry in rest if entry.sequence > after)
        finally:
            with self._lock:
                self._reading -= 1

    def window(self) -> Iterator[Entry]:
        """The last `last_s` of it, from a message on before which no commit is cut in two.

        Raises:
            OSError: as `entries`.
        """
        since_ns, before, is_in = self.extent().to_ns - int(self.last_s * 1e9), None, False
        for entry in self.entries():
            is_in = is_in or (entry.time_ns >= since_ns and (before is None or is_boundary(before, entry)))
            before = entry
            if is_in:
                yield entry

    def close(self) -> None:
        """Closes its files; it can be opened again."""
        self._tail.close()

    def _note(self, entry: Entry) -> None:
        self._open.append(entry)
        self._open_bytes += len(entry.headers) + len(entry.body or b"")
        self._last = entry.sequence
        self._first_ns = self._first_ns or entry.time_ns

    def _close_segment(self) -> None:
        """First the segment is on the disk under its name, then the tail is emptied: a kill in between leaves both, which harms nothing."""
        newest = max(one.time_ns for one in self._open)
        name = f"{self._open[0].sequence:020d}-{self._last:020d}-{newest:020d}{_SUFFIX}"
        partial, path = self._folder / f"{name}.partial", self._folder / name
        data = _compressor.compress(b"".join(map(frame, self._open)))
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(self._folder)
        with self._lock:
            self._segments.append(Segment(path, self._open[0].sequence, self._last, newest, len(data)))
            self._open, self._open_bytes = [], 0
            gone = self._old(newest - int(self.last_s * 1e9))
        self._tail.clear()
        for one in gone:
            one.path.unlink(missing_ok=True)
        if gone:
            self._first_ns = _first_time(self._segments[0])

    def _old(self, since_ns: int) -> list[Segment]:
        """Forgets what is too old or too much; not while it is read: the next segment that is closed makes up for it."""
        size, gone = sum(one.size_bytes for one in self._segments), list[Segment]()
        while not self._reading and len(self._segments) > 1:
            if self._segments[0].newest_ns >= since_ns and size <= self._max_bytes - MAX_SEGMENT_BYTES:
                break
            gone.append(self._segments.pop(0))
            size -= gone[-1].size_bytes
        return gone


def is_boundary(before: Entry, entry: Entry) -> bool:
    """Whether a log can be cut between two neighbours without cutting a commit, whose messages are neighbours, in two."""
    if _owner(before.subject) != _owner(entry.subject):
        return True
    first, second = _commit(before), _commit(entry)
    return first is not None and second is not None and first != second


def _owner(subject: str) -> tuple[bool, str]:
    place, parts = parse_port(subject), subject.split(".")
    return parts[3] == "in", place[0] if place is not None else parts[4]


def _commit(entry: Entry) -> tuple[int, int] | None:
    text = decode_headers(entry.headers).headers.get(HEADER)
    commit = decode_commit(text) if text is not None else None
    return (commit.epoch, commit.number) if commit is not None else None


def _segments_of(folder: Path) -> list[Segment]:
    found = []
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        first, last, newest = (int(part) for part in path.stem.split("-"))
        found.append(Segment(path, first, last, newest, path.stat().st_size))
    for partial in folder.glob("*.partial"):
        partial.unlink(missing_ok=True)
    return found


def _first_time(segment: Segment) -> int:
    return next((entry.time_ns for entry in segment.entries()), segment.newest_ns)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
