"""The tail of a capture: messages of the chunk that is not full yet, so that a killed process finds them again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from thalweg.replay.format import MAX_RECORD_BYTES, Entry

_pack, _unpack = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(tuple[str, int, int, bytes, bytes | None]).decode


def frame(entry: Entry) -> bytes:
    """An entry as it stands in the file."""
    body = _pack((entry.subject, entry.sequence, entry.time_ns, entry.headers, entry.body))
    return len(body).to_bytes(4, "little") + body


def unframe(data: bytes) -> Iterator[tuple[Entry, int]]:
    """Entries, each with where it ends; one that was cut off is left out, and everything behind it."""
    place = 0
    while place + 4 <= len(data):
        size = int.from_bytes(data[place : place + 4], "little")
        if size > MAX_RECORD_BYTES or place + 4 + size > len(data):
            return
        try:
            entry = Entry(*_unpack(data[place + 4 : place + 4 + size]))
        except msgspec.DecodeError:
            return
        place += 4 + size
        yield entry, place


class Tail:
    """A file beside the replay.

    Args:
        path: of the file; made where there is none.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
        self._waiting: list[Entry] = []
        self._is_empty = False

    def read(self) -> list[Entry]:
        """What is there; an entry that was cut off is left out, and everything behind it."""
        self._flush()
        self._file.seek(0)
        place, found = 0, list[Entry]()
        for entry, place in unframe(self._file.read()):  # noqa: B007
            found.append(entry)
        self._file.seek(place)
        self._file.truncate()
        return found

    def append(self, entry: Entry) -> None:
        """Takes a message; it is not in the file before `sync`. Most are in the replay itself by then, and never get here."""
        self._waiting.append(entry)

    def _flush(self) -> None:
        for entry in self._waiting:
            self._write(entry)
        self._waiting.clear()

    def _write(self, entry: Entry) -> None:
        self._is_empty, data = False, memoryview(frame(entry))
        while data:  # a write that was cut short, as on a disk that is full: the next one says why
            data = data[self._file.write(data) :]

    def clear(self) -> None:
        """Forgets all of it: the chunk is in the replay."""
        self._waiting.clear()
        if not self._is_empty:
            self._file.seek(0)
            self._file.truncate()
            self._is_empty = True

    def sync(self) -> None:
        """Lets what was taken reach the disk. Blocking. Raises OSError."""
        self._flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
