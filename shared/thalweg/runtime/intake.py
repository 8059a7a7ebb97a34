"""Pulls records out of a source component, from behind its cursor on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any, cast

import msgspec

from thalweg.errors import RunFailedError
from thalweg.runtime.faults import Faults
from thalweg.runtime.inputs import BEGINNING
from thalweg.runtime.outbox import FIRST_NS, LAST_NS, Outbox
from thalweg.runtime.passes import CHUNK_S, STRIDE, CloserLookError
from thalweg.runtime.program import Program
from thalweg.runtime.standing import Standing
from thalweg.sdk.values import At, Bad, Emit, Recorded, RecordError
from thalweg.wire import ids

_FIXED = frozenset({int, str, bytes, float, bool, type(None)})
_NOTHING = object()
_encode = msgspec.msgpack.Encoder().encode


class Intake:
    """The records of one source vertex.

    The source may be at work on one thread while another takes in what it has yielded so far: all but the source's own code runs with
    the lock held.

    Args:
        vertex: its name; its records are numbered from an id made of it.
        program: the source.
        outbox: where records go.
        faults: what to do with faulty pieces of its input.
        standing: has the cursor to go on from.
        lock: of the vertex; let go while the source is at work.
    """

    def __init__(
        self, vertex: str, program: Program, outbox: Outbox, faults: Faults, standing: Standing, lock: threading.Lock | None = None
    ) -> None:
        self._vertex, self._program, self._outbox, self._faults, self._standing = vertex, program, outbox, faults, standing
        self._base_id = ids.source_base(vertex)
        self._former_count = 0  # records of another source, which this one has taken the place of
        self._source: Iterator[Any] | None = None
        self._stride = 1
        self._lock = lock or threading.Lock()
        self._items: list[At[Any]] = []
        self._parts: list[bytes] = []
        self._taken = 0
        self._hurry: list[bool] = []  # not empty: the source is not asked again behind its next record
        self._state: bytes | None = None
        self._cursor: Any = _NOTHING  # the object that the last record came with
        self._is_single = True
        self._is_out = self._is_closed = False

    @property
    def is_hurried(self) -> bool:
        """Whether what is pulled now ends behind one record."""
        return bool(self._hurry)

    def hurry(self) -> None:
        """Has what is pulled now end behind the source's next record, until `calm`."""
        self._hurry[:] = [True]

    def calm(self) -> None:
        """Takes `hurry` back."""
        self._hurry.clear()

    def close(self) -> None:
        """From here on, nothing that the source does counts."""
        self._is_closed = True
        self.hurry()

    def state(self) -> bytes | None:
        """The source's state behind its last record that was taken; while it is at work it may be changing it for the next one."""
        return self._state if self._is_out else self._program.snapshot()

    def pull(self, limit: int) -> tuple[int, bool]:
        """Takes records until there are `limit` of them or some time has gone; returns how many, and whether the source has ended.

        The lock is to be held. Records that `take_yielded` took meanwhile are not in the number.

        Raises:
            RunFailedError: the source raised, or a piece of its input stops the run.
            SystemExit: the source raised that.
        """
        self._items, self._parts, self._taken = [], [], 0
        other: list[Any] = []
        raised: Exception | SystemExit | None = None
        ended = False
        if self._program.has_state:
            self._state = self._program.snapshot()
        if self._program.has_state or self._is_single:  # how far it is can be told between two records only
            limit = 1
        self._is_out = True
        self._lock.release()
        try:
            ended = self._pull(self._items, self._parts, limit)
        except CloserLookError as found:
            other = [found.result]
        except (Exception, SystemExit) as error:
            raised = error
        finally:
            self._lock.acquire()
            self._is_out = False
        if self._is_closed:
            return 0, False
        count = self._put_rest(len(self._items))
        for item in other:
            count += self._put_recorded(item) if type(item) is Recorded else self._put(item)
        if raised is not None:
            self._fail(raised)
        return count, ended

    def take_yielded(self) -> int:
        """Takes what the source has yielded though it is still at work; how many records. The lock is to be held.

        Raises:
            RunFailedError: as `pull` does.
        """
        items = self._items[:]
        if self._is_closed or self._program.has_state or len(items) == self._taken:
            return 0
        before = items[-2].cursor if len(items) > 1 else self._cursor
        return 0 if _may_change(items[-1].cursor, before) else self._put_rest(len(items))

    def _pull(self, items: list[At[Any]], parts: list[bytes], limit: int) -> bool:
        """Takes records until there are enough or some time has gone; whether the source has ended."""
        if self._source is None:
            self._source = self._open()
        started, elapsed, is_cut_short = time.perf_counter(), 0.0, False
        while elapsed < CHUNK_S and len(items) < limit and not is_cut_short:
            wanted = min(len(items) + self._stride, limit)
            is_cut_short = self._outbox.passes.pull(islice(self._source, wanted - len(items)), items, parts, self._hurry)
            if len(items) < wanted and not is_cut_short:
                return True
            elapsed = time.perf_counter() - started
        self._stride = STRIDE if elapsed * STRIDE < CHUNK_S * len(items) else 1
        return False

    def _put_rest(self, reached: int) -> int:
        """Puts the first `reached` records that were pulled, but those that are put already: the source may be adding to them."""
        first, self._taken = self._taken, reached
        if first == 0 and not self._is_out:
            self._put_many(self._items, self._parts)
        else:
            self._put_many(self._items[first:reached], self._parts[first:reached])
        return reached - first

    def _move(self, before: Any, cursor: Any) -> None:
        """Says where to go on; what the source could still change is kept as it is now."""
        count = self._standing.counters.records_in - self._former_count
        self._standing.cursor = (count, cursor if type(cursor) in _FIXED else msgspec.Raw(_encode(cursor)))
        self._is_single, self._cursor = before is _NOTHING or _may_change(cursor, before), cursor

    def _open(self) -> Iterator[Any]:
        read, cursor = self._standing.cursor or (0, None)
        self._former_count = self._standing.counters.records_in - read
        source = self._program.source(cursor)
        for _ in range(read if cursor is None else 0):  # a source without cursors is run over what is committed
            next(source)
        return source

    def _put_many(self, items: list[At[Any]], parts: list[bytes]) -> None:
        if not items:
            return
        standing = self._standing
        first = standing.counters.records_in
        times = [first + index if item.time_ns is None else item.time_ns for index, item in enumerate(items)]
        if min(times) < FIRST_NS or max(times) > LAST_NS:
            for item in items:
                self._put(item)
            return
        progress = times
        if times[0] < standing.watermark or times != sorted(times):
            progress, seen = [], standing.watermark
            for time_ns in times:
                seen = max(seen, time_ns)
                progress.append(seen)
        standing.counters.records_in += len(items)
        self._move(items[-2].cursor if len(items) > 1 else self._cursor, items[-1].cursor)
        numbers = range(self._base_id + first, self._base_id + first + len(items))
        self._outbox.add_parts(cast(list[bytes | None], parts), times, numbers, progress)
        standing.watermark, standing.touched = progress[-1], True

    def _put_recorded(self, item: Recorded) -> int:
        """Passes the records of one recorded commit on; how much work that was, at least 1."""
        standing, count, promised = self._standing, 0, self._standing.watermark
        for port, parts, times, numbers, progress in item.batches:
            if progress and progress[0] < promised:  # in place of a source that was further
                progress = [max(promised, one) for one in progress]
            self._outbox.add_recorded(port, parts, times, numbers, progress)
            count += len(parts)
        standing.counters.records_in += count
        standing.watermark, standing.touched = max(standing.watermark, BEGINNING if item.promised is None else item.promised), True
        standing.cursor = (standing.counters.records_in - self._former_count, item.cursor)
        return max(count, 1)

    def _put(self, item: Any) -> int:
        standing, ordinal = self._standing, self._standing.counters.records_in
        record_id = self._base_id + ordinal
        standing.touched = True
        self._program.context.position = f"record {ordinal + 1}"
        value, cursor, time_ns = (item.value, item.cursor, item.time_ns) if type(item) is At else (item, None, None)
        try:
            if type(item) is Bad:
                value, cursor = item.raw, item.cursor
                self._program.context.position = item.error.where or self._program.context.position
                raise item.error
            if type(value) is Emit:
                time_ns = value.time_ns if time_ns is None else time_ns
            time_ns = ordinal if time_ns is None else time_ns
            self._outbox.add((value,), time_ns, record_id, max(standing.watermark, time_ns))
            standing.watermark = max(standing.watermark, time_ns)
        except RecordError as error:
            self._faults.settle(error, value.value if type(value) is Emit else value, record_id)
        standing.counters.records_in += 1
        self._move(self._cursor, cursor)
        return 1

    def _fail(self, error: Exception | SystemExit) -> None:
        if isinstance(error, SystemExit):
            raise error
        message = str(error) if isinstance(error, RunFailedError) else f"{type(error).__name__}: {error}"
        code = getattr(error, "code", "component.raised")
        raise RunFailedError(f"{self._vertex}: {message}", code=code, hint=getattr(error, "hint", None)) from error


def _may_change(cursor: Any, before: Any) -> bool:
    """Whether a source may change a cursor that it has given, as one does that gives the same object again and again.

    One that is made anew for each record, and holds nothing that can change, is left alone by any source: to encode each would cost
    a fast source much of its rate.
    """
    if type(cursor) in _FIXED:
        return False
    return cursor is before or type(cursor) not in (list, tuple) or any(type(one) not in _FIXED for one in cursor)
