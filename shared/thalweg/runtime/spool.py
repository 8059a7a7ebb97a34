"""The spool of a vertex that writes generated files: every input message it has committed, on local disk, in order.

A file such as MP4 or Parquet cannot be continued by another process. So a new copy of the vertex writes it anew, from the
spool and then from the log. Each entry is framed with its length and checksum; a torn last entry was never committed.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec

from thalweg.runtime.inputs import Message

_HEAD_BYTES = 8


class _Entry(msgspec.Struct, array_like=True):
    edge: str
    first: int
    last: int
    body: bytes
    watermark: int
    ended: bool
    void: bool = False


_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(_Entry)


class Spool:
    """Append-only file of messages."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def replay(self) -> Iterator[Message]:
        """Every whole entry, oldest first; what is torn behind them is cut off."""
        if not self.path.exists():
            return
        good = 0
        with self.path.open("rb") as file:
            while len(head := file.read(_HEAD_BYTES)) == _HEAD_BYTES:
                size, checksum = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")
                body = file.read(size)
                if len(body) < size or zlib.crc32(body) != checksum:
                    break
                good += _HEAD_BYTES + size
                entry = _decoder.decode(body)
                yield Message(entry.edge, entry.first, entry.last, entry.body, entry.watermark, entry.ended, entry.void)
        os.truncate(self.path, good)

    def append(self, message: Message) -> None:
        """Adds a message; on disk only after `sync`."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab")
        self._file.write(_framed(message))

    def cut(self, positions: Mapping[str, tuple[int, int]]) -> None:
        """Takes out what lies behind the positions, as if it had not been read. Idempotent; nothing is lost where it is broken off."""
        self.close()
        if not self.path.exists():
            return
        kept = self.path.with_suffix(".kept")
        with kept.open("wb") as file:
            for message in self.replay():
                sequence, skip = positions.get(message.edge, (0, 0))
                if message.first < sequence or (message.first == sequence and skip):
                    file.write(_framed(message))
            file.flush()
            os.fdatasync(file.fileno())
        kept.replace(self.path)

    def sync(self) -> None:
        """Puts all appended messages on disk; call before the commit that counts them as read."""
        if self._file is not None:
            self._file.flush()
            os.fdatasync(self._file.fileno())

    def close(self) -> None:
        """Closes the file; the spool stays."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _framed(message: Message) -> bytes:
    entry = _Entry(message.edge, message.first, message.last, message.body, message.watermark, message.ended, message.void)
    body = _encoder.encode(entry)
    return len(body).to_bytes(4, "big") + zlib.crc32(body).to_bytes(4, "big") + body
