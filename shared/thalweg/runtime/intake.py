"""Pulls records out of a source component, from behind its cursor on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

from thalweg.errors import RunFailedError
from thalweg.runtime.faults import Faults
from thalweg.runtime.inputs import BEGINNING
from thalweg.runtime.outbox import FIRST_NS, LAST_NS, Outbox
from thalweg.runtime.passes import CHUNK_S, STRIDE, CloserLookError
from thalweg.runtime.program import Program
from thalweg.runtime.standing import Standing
from thalweg.sdk.values import At, Bad, Emit, Recorded, RecordError
from thalweg.wire import ids


class Intake:
    """The records of one source vertex.

    Args:
        vertex: its name; its records are numbered from an id made of it.
        program: the source.
        outbox: where records go.
        faults: what to do with faulty pieces of its input.
        standing: has the cursor to go on from.
    """

    def __init__(self, vertex: str, program: Program, outbox: Outbox, faults: Faults, standing: Standing) -> None:
        self._vertex, self._program, self._outbox, self._faults, self._standing = vertex, program, outbox, faults, standing
        self._base_id = ids.source_base(vertex)
        self._source: Iterator[Any] | None = None
        self._stride = 1

    def pull(self, limit: int) -> tuple[int, bool]:
        """Takes records until there are `limit` of them or some time has gone; returns how many, and whether the source has ended.

        Raises:
            RunFailedError: the source raised, or a piece of its input stops the run.
        """
        items: list[At[Any]] = []
        parts: list[bytes | None] = []
        other: list[Any] = []
        raised: Exception | None = None
        ended = False
        try:
            if self._source is None:
                self._source = self._open()
            ended = self._pull(self._source, items, parts, limit)
        except CloserLookError as found:
            other = [found.result]
        except Exception as error:
            raised = error
        self._put_many(items, parts)
        count = len(items)
        for item in other:
            count += self._put_recorded(item) if type(item) is Recorded else self._put(item)
        if raised is not None:
            self._fail(raised)
        return count, ended

    def _pull(self, source: Iterator[Any], items: list[At[Any]], parts: list[bytes | None], limit: int) -> bool:
        """Takes records until there are enough or some time has gone; whether the source has ended."""
        started, elapsed = time.perf_counter(), 0.0
        while elapsed < CHUNK_S and len(items) < limit:
            wanted = min(len(items) + self._stride, limit)
            self._outbox.passes.pull(islice(source, wanted - len(items)), items, parts)
            if len(items) < wanted:
                return True
            elapsed = time.perf_counter() - started
        self._stride = STRIDE if elapsed * STRIDE < CHUNK_S * len(items) else 1
        return False

    def _open(self) -> Iterator[Any]:
        read, cursor = self._standing.cursor or (0, None)
        source = self._program.source(cursor)
        for _ in range(read if cursor is None else 0):  # a source without cursors is run over what is committed
            next(source)
        return source

    def _put_many(self, items: list[At[Any]], parts: list[bytes | None]) -> None:
        if not items:
            return
        standing = self._standing
        first = standing.counters.records_in
        times = [first + index if item.time_ns is None else item.time_ns for index, item in enumerate(items)]
        if None in parts or min(times) < FIRST_NS or max(times) > LAST_NS:
            for item in items:
                self._put(item)
            return
        progress = times
        if times[0] < standing.watermark or times != sorted(times):
            progress, seen = [], standing.watermark
            for time_ns in times:
                seen = max(seen, time_ns)
                progress.append(seen)
        numbers = range(self._base_id + first, self._base_id + first + len(items))
        self._outbox.add_parts(parts, times, numbers, progress)
        standing.counters.records_in += len(items)
        standing.watermark, standing.touched = progress[-1], True
        standing.cursor = (first + len(items), items[-1].cursor)

    def _put_recorded(self, item: Recorded) -> int:
        """Passes the records of one recorded commit on; how much work that was, at least 1."""
        standing, count = self._standing, 0
        for port, parts, times, numbers, progress in item.batches:
            self._outbox.add_recorded(port, parts, times, numbers, progress)
            count += len(parts)
        standing.counters.records_in += count
        standing.watermark, standing.touched = max(standing.watermark, BEGINNING if item.promised is None else item.promised), True
        standing.cursor = (standing.counters.records_in, item.cursor)
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
        standing.cursor = (ordinal + 1, cursor)
        return 1

    def _fail(self, error: Exception) -> None:
        message = str(error) if isinstance(error, RunFailedError) else f"{type(error).__name__}: {error}"
        code = getattr(error, "code", "component.raised")
        raise RunFailedError(f"{self._vertex}: {message}", code=code, hint=getattr(error, "hint", None)) from error
