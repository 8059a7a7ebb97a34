"""The tail of a capture: messages of the chunk that is not full yet, so that a killed process finds them again."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec

from thalweg.replay.format import MAX_RECORD_BYTES, Entry

_pack, _unpack = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(tuple[str, int, int, bytes, bytes | None]).decode


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
        self._file.seek(0)
        data, place, found = self._file.read(), 0, list[Entry]()
        while place + 4 <= len(data):
            size = int.from_bytes(data[place : place + 4], "little")
            if size > MAX_RECORD_BYTES or place + 4 + size > len(data):
                break
            try:
                found.append(Entry(*_unpack(data[place + 4 : place + 4 + size])))
            except msgspec.DecodeError:
                break
            place += 4 + size
        self._file.seek(place)
        self._file.truncate()
        return found

    def append(self, entry: Entry) -> None:
        """Takes a message; it is not in the file before `flush`. Most are in the replay itself by then, and never get here."""
        self._waiting.append(entry)

    def flush(self) -> None:
        """Writes what was taken. Raises OSError."""
        for entry in self._waiting:
            self._write(entry)
        self._waiting.clear()

    def _write(self, entry: Entry) -> None:
        self._is_empty = False
        body = _pack((entry.subject, entry.sequence, entry.time_ns, entry.headers, entry.body))
        written = os.writev(self._file.fileno(), [len(body).to_bytes(4, "little"), body])
        if written < 4:
            raise OSError(errno.ENOSPC, "a write was cut short")
        data = memoryview(body)[written - 4 :]
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
        """Lets it reach the disk. Blocking."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
