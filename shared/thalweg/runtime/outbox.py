"""What a vertex has emitted since its last commit, per port, until it is cut into message bodies."""

from __future__ import annotations

from typing import Any

import msgspec

from thalweg.graph.types import StreamType
from thalweg.sdk.conform import conformer
from thalweg.wire.batch import encode_batch
from thalweg.wire.commit import PortDigest
from thalweg.wire.digest import START, extend

_encode = msgspec.msgpack.Encoder().encode
BEGINNING = -(2**63)


class Port:
    """One output port: records waiting to be committed, and the digest of all before them."""

    def __init__(self, name: str, stream_type: StreamType) -> None:
        self.name, self.conform = name, conformer(stream_type, name)
        self.parts: list[bytes] = []
        self.times: list[int] = []
        self.ids: list[int] = []
        self.progress: list[int] = []
        self.count, self.digest, self.base = 0, START, BEGINNING
        self.size = 0

    def restore(self, state: PortDigest) -> None:
        """Goes on where a commit left this port."""
        self.count, self.digest, self.base = state.count, bytes.fromhex(state.digest), state.progress

    def add(self, value: Any, time_ns: int, record_id: int, progress: int) -> None:
        """Adds one record. Raises RecordError when it is not of the port's type."""
        part = _encode(self.conform(value))
        self.parts.append(part)
        self.size += len(part)
        self.times.append(time_ns)
        self.ids.append(record_id)
        self.progress.append(progress)

    def add_many(self, values: list[Any], times: list[int], ids: list[int], progress: list[int]) -> None:
        """Adds records of the same lengths. All or none: a value that does not conform raises before any is added."""
        conform = self.conform
        parts = [_encode(conform(value)) for value in values]
        self.parts += parts
        self.size += sum(map(len, parts))
        self.times += times
        self.ids += ids
        self.progress += progress

    def rollback(self, length: int) -> None:
        """Forgets what was added after the first `length` waiting records."""
        self.size -= sum(map(len, self.parts[length:]))
        for column in (self.parts, self.times, self.ids, self.progress):
            del column[length:]

    def cut(self, state: bytes | None) -> bytes:
        """Body of the waiting records; they count as committed from here on."""
        body = encode_batch(self.parts, self.times, self.ids, self._short_progress(), state)
        self.digest = extend(self.digest, self.parts, self.times)
        self.count += len(self.parts)
        if self.progress:
            self.base = self.progress[-1]
        self.parts, self.times, self.ids, self.progress, self.size = [], [], [], [], 0
        return body

    def stored(self) -> PortDigest:
        """What a commit says of this port."""
        return PortDigest(self.count, self.digest.hex(), self.base)

    def _short_progress(self) -> int | list[int]:
        """The base alone where every record's progress follows from it and the event times (see `Batch.w`)."""
        if self.progress == self.times and (not self.times or self.times[0] >= self.base) and self.times == sorted(self.times):
            return self.base
        seen = self.base
        for time_ns, progress in zip(self.times, self.progress, strict=True):
            seen = max(seen, time_ns)
            if seen != progress:
                return self.progress
        return self.base
