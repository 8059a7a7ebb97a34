"""The body of a message inside a graph, a batch: `{"v": values, "t": times, "k": ids, "w": progress, "s": state, "r": roots}`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec

V = TypeVar("V")
_pack = msgspec.msgpack.Encoder().encode


class Batch(msgspec.Struct, Generic[V]):
    """A decoded message body.

    Attributes:
        v: the values.
        t: event time of each, UTC ns.
        k: trace id of each, unsigned 64 bit: a list, or the first one where they count up by one.
        w: the progress time of each record: a list, or the progress before the first one where each record's progress is
            the running maximum of that and the event times.
        s: the writer's state after this commit, when it is small; readers skip it.
        r: of each record, the id of the one from outside that it comes from, 0 for none; None where that is its own id.
    """

    v: list[V]
    t: list[int]
    k: int | list[int]
    w: int | list[int] = -(2**63)
    s: bytes | None = None
    r: list[int] | None = None

    def ids(self) -> Sequence[int]:
        """Trace id of each record."""
        return self.k if isinstance(self.k, list) else range(self.k, self.k + len(self.v))

    def roots(self) -> Sequence[int]:
        """Of each record, the id of the one from outside that it comes from."""
        return self.ids() if self.r is None else self.r

    def progress(self) -> list[int]:
        """Progress time of each record."""
        if isinstance(self.w, list):
            return self.w
        if self.t and self.t[0] >= self.w and self.t == sorted(self.t):
            return self.t
        seen, out = self.w, []
        for time_ns in self.t:
            if time_ns > seen:
                seen = time_ns
            out.append(seen)
        return out

    def part(self, indexes: Sequence[int]) -> Batch[V]:
        """A batch of some of the records, each with the id, time, root and progress that it has here."""
        ids, progress = self.ids(), self.progress()
        return Batch(
            [self.v[index] for index in indexes],
            [self.t[index] for index in indexes],
            [ids[index] for index in indexes],
            [progress[index] for index in indexes],
            r=None if self.r is None else [self.r[index] for index in indexes],
        )


def encode_batch(
    parts: list[bytes],
    times: list[int],
    ids: list[int],
    progress: int | list[int],
    state: bytes | None,
    roots: list[int] | None = None,
) -> bytes:
    """Body of a message from values that are encoded already; `roots` only where they are not the ids."""
    head = (b"\x85\xa1v" if roots is None else b"\x86\xa1v") + _array_header(len(parts))
    counts_up = bool(ids) and ids[-1] - ids[0] == len(ids) - 1 and ids == list(range(ids[0], ids[0] + len(ids)))
    tail = b"\xa1t" + _pack(times) + b"\xa1k" + _pack(ids[0] if counts_up else ids) + b"\xa1w" + _pack(progress) + b"\xa1s" + _pack(state)
    return b"".join([head, *parts, tail] if roots is None else [head, *parts, tail, b"\xa1r" + _pack(roots)])


def batch_decoder(value_type: Any) -> msgspec.msgpack.Decoder[Batch[Any]]:
    """Decoder of bodies whose values are of `value_type`."""
    return msgspec.msgpack.Decoder(Batch[value_type])


def _array_header(count: int) -> bytes:
    if count < 16:
        return bytes([0x90 | count])
    if count < 1 << 16:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")
