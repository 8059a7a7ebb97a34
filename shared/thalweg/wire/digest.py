"""The digest of a port: a hash chain over blocks of its records, which does not depend on how they were batched.

A block ends with the record that brings its values to `BLOCK_BYTES`. So a small record costs a fraction of a hash, a large one
is a block of its own, and what has to be carried over a restart stays below that size.
"""

from __future__ import annotations

import base64
import struct
from bisect import bisect_left
from hashlib import sha256
from itertools import accumulate

from thalweg.wire.commit import OpenBlock, PortDigest

BLOCK_BYTES = 4096
START = bytes(32)


class Chain:
    """The chain over the records of one port so far.

    A closed block extends it: `d' = sha256(d + count, 4 bytes + event times, 8 bytes each + msgpack of the values)`, all
    integers little endian, from 32 zero bytes on. The digest is that of the chain closed now.
    """

    __slots__ = ("_closed", "_times", "_values")

    def __init__(self, stored: PortDigest | None = None) -> None:
        self._closed, self._times, self._values = START, list[int](), b""
        if stored is not None:
            self._closed = bytes.fromhex(stored.digest)
        if stored is not None and stored.block is not None:
            self._closed, self._times = bytes.fromhex(stored.block.chain), list(stored.block.times)
            self._values = base64.b64decode(stored.block.values)

    def extend(self, parts: list[bytes], times: list[int]) -> None:
        """Adds records: the msgpack of each, its event time in ns."""
        ends = list(accumulate(map(len, parts)))
        low, base = 0, -len(self._values)
        while (high := bisect_left(ends, base + BLOCK_BYTES, low) + 1) <= len(ends):
            self._take(parts[low:high], times[low:high])
            self._closed = _close(self._closed, self._times, self._values)
            self._times, self._values = [], b""
            low, base = high, ends[high - 1]
        if low < len(parts):
            self._take(parts[low:], times[low:])

    def _take(self, parts: list[bytes], times: list[int]) -> None:
        values = b"".join(parts)
        self._times, self._values = (self._times + times, self._values + values) if self._times else (times, values)

    def stored(self, count: int, progress: int) -> PortDigest:
        """The digest, with what a restart needs to go on."""
        if not self._times:
            return PortDigest(count, self._closed.hex(), progress)
        block = OpenBlock(self._closed.hex(), self._times, base64.b64encode(self._values).decode())
        return PortDigest(count, _close(self._closed, self._times, self._values).hex(), progress, block)


def _close(digest: bytes, times: list[int], values: bytes) -> bytes:
    return sha256(digest + struct.pack(f"<I{len(times)}q", len(times), *times) + values).digest()
