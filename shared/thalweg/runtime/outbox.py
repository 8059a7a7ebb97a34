"""What a vertex has emitted since its last commit, by port, until it is cut into message bodies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Any, cast

import msgspec

from thalweg.graph.derive import stream_type
from thalweg.graph.types import StreamType, format_type
from thalweg.runtime.inputs import BEGINNING
from thalweg.runtime.passes import Passes
from thalweg.runtime.redaction import Redaction
from thalweg.runtime.standing import Standing
from thalweg.sdk.conform import conformer
from thalweg.sdk.values import Emit, Receipt, RecordError
from thalweg.wire import ids
from thalweg.wire.batch import encode_batch
from thalweg.wire.commit import PortDigest
from thalweg.wire.digest import Chain
from thalweg.wire.receipts import MAX_TARGET, RECEIPTS

FIRST_NS, LAST_NS = -(2**63) + 1, 2**63 - 2  # event times on the wire are 64 bit; both ends have a meaning of their own
NO_ROOT = 0  # of a record that no single one from outside has caused
_encode = msgspec.msgpack.Encoder().encode
_receipt = msgspec.msgpack.Decoder(Receipt).decode
_RECEIPT = format_type(stream_type(Receipt))


class Port:
    """One output port: records waiting to be committed, and the digest of all before them."""

    def __init__(self, name: str, stream_type: StreamType, redaction: Redaction | None = None, *, traced: bool = False) -> None:
        self._redaction = redaction
        self.roots: list[int] | None = [] if traced else None
        self.name, self.stream_type, self.conform = name, stream_type, conformer(stream_type, name)
        self.parts: list[bytes] = []
        self.times: list[int] = []
        self.ids: list[int] = []
        self.progress: list[int] = []
        self.count, self.base = 0, BEGINNING
        self._chain = Chain()
        self.size = 0
        self.target: str | None = "" if name == RECEIPTS and format_type(stream_type) == _RECEIPT else None

    def restore(self, state: PortDigest) -> None:
        """Goes on where a commit left this port."""
        self.count, self.base, self._chain = state.count, state.progress, Chain(state)

    def add(self, value: Any, time_ns: int, record_id: int, progress: int, root: int | None = None) -> None:
        """Adds one record; its root is its own id where none is given.

        Raises:
            RecordError: it is not of the port's type, or its time cannot be told.
        """
        if not FIRST_NS <= time_ns <= LAST_NS:
            raise RecordError(f"port {self.name}: event time {time_ns} ns is not between the years 1677 and 2262")
        try:
            part = _encode(self.conform(value))
        except (OverflowError, TypeError, ValueError) as error:
            raise RecordError(f"port {self.name}: a value has no place on the wire: {error}") from error
        self.add_parts([part], [time_ns], [record_id], [progress], None if root is None else [root])

    def add_parts(
        self, parts: list[bytes], times: list[int], ids: Sequence[int], progress: list[int], roots: Sequence[int] | None = None
    ) -> None:
        """Adds encoded records, given by columns of one length. Progress never falls: it is raised to what was there before."""
        reached = self.progress[-1] if self.progress else self.base
        if progress and progress[0] < reached:
            progress = [max(reached, one) for one in progress]
        if self._redaction is not None:
            parts = [self._redaction.packed(part) for part in parts]
        self.parts += parts
        self.size += sum(map(len, parts))
        self.times += times
        self.ids += ids
        self.progress += progress
        if self.roots is not None:
            self.roots += ids if roots is None else roots

    def rollback(self, length: int) -> None:
        """Forgets what was added after the first `length` waiting records."""
        self.size -= sum(map(len, self.parts[length:]))
        for column in (self.parts, self.times, self.ids, self.progress, self.roots):
            if column is not None:
                del column[length:]

    def cut(self, state: bytes | None) -> bytes:
        """Body of the waiting records; they count as committed from here on."""
        roots = None if self.roots == self.ids else self.roots
        body = encode_batch(self.parts, self.times, self.ids, self._short_progress(), state, roots)
        self._chain.extend(self.parts, self.times)
        self.count += len(self.parts)
        if self.parts and self.target is not None:
            self.target = _receipt(self.parts[-1]).target[:MAX_TARGET]
        if self.progress:
            self.base = self.progress[-1]
        self.parts, self.times, self.ids, self.progress, self.size = [], [], [], [], 0
        self.roots = None if self.roots is None else []
        return body

    def stored(self) -> PortDigest:
        """What a commit says of this port."""
        return self._chain.stored(self.count, self.base)

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


class Outbox:
    """All output ports of a vertex, and the rules by which results become records.

    Args:
        vertex: its name.
        outputs: resolved stream type by port.
        standing: where records are counted; while it says `rebuilding`, nothing is added.
        redaction: of the records, None for a vertex without secrets.
        traced: records say which one from outside they come from.
    """

    def __init__(
        self, vertex: str, outputs: dict[str, StreamType], standing: Standing, redaction: Redaction | None = None, *, traced: bool = False
    ) -> None:
        self._vertex, self._standing = vertex, standing
        self.ports = {name: Port(name, kind, redaction, traced=traced) for name, kind in outputs.items()}
        self._plain = RECEIPTS if list(outputs) == [RECEIPTS] else "out"  # where a result goes that names no port
        self._only = next(iter(self.ports.values())) if len(self.ports) == 1 else None
        self.passes = Passes(self._only.stream_type, self._only.conform) if self._only else Passes(None, None)

    @property
    def target(self) -> str:
        """Who took the last committed record; "" for a vertex that gives no receipts."""
        return (self._only.target if self._only is not None else None) or ""

    @target.setter
    def target(self, target: str) -> None:
        if self._only is not None and self._only.target is not None:
            self._only.target = target

    @property
    def size(self) -> int:
        """Bytes of the waiting records."""
        return sum(port.size for port in self.ports.values())

    def mark(self) -> dict[str, int]:
        """Where `rollback` can go back to."""
        return {name: len(port.parts) for name, port in self.ports.items()}

    def rollback(self, mark: dict[str, int]) -> None:
        """Takes back what was added since `mark`."""
        for name, port in self.ports.items():
            self._standing.counters.records_out -= len(port.parts) - mark[name]
            port.rollback(mark[name])

    def add_parts(
        self,
        parts: list[bytes | None],
        times: list[int],
        ids: Sequence[int],
        progress: list[int],
        roots: Sequence[int] | None = None,
    ) -> None:
        """Adds what one of `passes` made of many records; None was filtered. The columns are those of the records themselves."""
        if self._only is None or self._standing.rebuilding:
            return
        taken = len(parts)
        if None in parts:
            kept = [part is not None for part in parts]
            times, ids, progress = list(compress(times, kept)), list(compress(ids, kept)), list(compress(progress, kept))
            roots = None if roots is None else list(compress(roots, kept))
        encoded = [part for part in parts if part is not None] if len(times) < taken else cast(list[bytes], parts)
        self._only.add_parts(encoded, times, ids, progress, roots)
        self._standing.counters.records_out += len(encoded)
        self._standing.counters.filtered += taken - len(encoded)

    def add_recorded(self, port: str, parts: list[bytes], times: list[int], ids: Sequence[int], progress: list[int]) -> None:
        """Adds records as another run has written them to a port of that name.

        Raises:
            RecordError: there is no such port.
        """
        if port not in self.ports:
            raise RecordError(f"the component emitted to port {port!r}, which it does not have")
        if not self._standing.rebuilding:
            self.ports[port].add_parts(parts, times, ids, progress)
            self._standing.counters.records_out += len(parts)

    def add(self, results: Iterable[Any], time_ns: int, record_id: int, progress: int, root: int | None = None) -> int:
        """Adds what the component made of one record; returns how many records that are (1 for a vertex without ports).

        The root is the record's own id where none is given.
        """
        count, root = 0, record_id if root is None else root
        for result in results:
            port, value, at = self._place(result, time_ns)
            if not self._standing.rebuilding:
                port.add(value, at, record_id if count == 0 else ids.derived(record_id, count), max(progress, at), root)
                self._standing.counters.records_out += 1
            count += 1
        return count if self.ports else 1

    def add_aside(self, cause: str, results: Iterable[Any], time_ns: int) -> None:
        """Adds emissions that no single record causes: at a watermark, at the end."""
        for result in results:
            port, value, at = self._place(result, time_ns)
            if not self._standing.rebuilding:
                record_id = ids.derived(self._vertex, cause, port.name, port.count + len(port.parts))
                port.add(value, at, record_id, at, NO_ROOT)
                self._standing.counters.records_out += 1

    def _place(self, result: Any, time_ns: int) -> tuple[Port, Any, int]:
        """Port, value and event time of a result."""
        name, value, at = self._plain, result, time_ns
        if type(result) is Emit:
            name, value, at = result.port, result.value, time_ns if result.time_ns is None else result.time_ns
        port = self.ports.get(name)
        if port is None:
            raise RecordError(f"the component emitted to port {name!r}, which it does not have")
        return port, value, at
