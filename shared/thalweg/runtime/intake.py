"""Pulls records out of a source component, from behind its cursor on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from thalweg.errors import RunFailedError
from thalweg.runtime.faults import Faults
from thalweg.runtime.outbox import Outbox
from thalweg.runtime.program import Program
from thalweg.runtime.standing import Standing
from thalweg.sdk.values import At, Bad, Emit, RecordError
from thalweg.wire import ids

CHUNK_RECORDS, CHUNK_S = 256, 0.005  # records taken from the source before they are put out, and for how long


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

    def pull(self, limit: int) -> tuple[int, bool]:
        """Takes records until there are `limit` of them or some time has gone; returns how many, and whether the source has ended.

        Raises:
            RunFailedError: the source raised, or a piece of its input stops the run.
        """
        items: list[Any] = []
        try:
            ended = self._fill(items, min(limit, CHUNK_RECORDS))
        except Exception as error:
            self._put(items)
            self._fail(error)
        self._put(items)
        return len(items), ended

    def _open(self) -> Iterator[Any]:
        read, cursor = self._standing.cursor or (0, None)
        source = self._program.source(cursor)
        for _ in range(read if cursor is None else 0):  # a source without cursors is run over what is committed
            next(source)
        return source

    def _fill(self, items: list[Any], limit: int) -> bool:
        if self._source is None:
            self._source = self._open()
        deadline = time.perf_counter() + CHUNK_S
        for item in self._source:
            items.append(item)
            if len(items) >= limit or time.perf_counter() > deadline:
                return False
        return True

    def _put(self, items: list[Any]) -> None:
        if set(map(type, items)) == {At} and self._put_plain(items):
            return
        for item in items:
            self._put_one(item)

    def _put_plain(self, items: list[At[Any]]) -> bool:
        """Many records with cursors for one port at once; False when one is not of its type."""
        standing, values = self._standing, [item.value for item in items]
        if any(value is None for value in values):
            return False
        first = standing.counters.records_in
        times = [first + index if item.time_ns is None else item.time_ns for index, item in enumerate(items)]
        progress = times
        if times[0] < standing.watermark or times != sorted(times):
            progress, seen = [], standing.watermark
            for time_ns in times:
                seen = max(seen, time_ns)
                progress.append(seen)
        numbers = list(range(self._base_id + first, self._base_id + first + len(items)))
        if not self._outbox.add_plain(values, times, numbers, progress):
            return False
        standing.counters.records_in += len(items)
        standing.watermark, standing.touched = progress[-1], True
        standing.cursor = (first + len(items), items[-1].cursor)
        return True

    def _put_one(self, item: Any) -> None:
        standing, ordinal = self._standing, self._standing.counters.records_in
        record_id = self._base_id + ordinal
        standing.touched = True
        if type(item) is Bad:
            self._program.context.position = item.error.where or f"record {ordinal + 1}"
            self._faults.settle(item.error, item.raw, record_id)
            cursor = item.cursor
        else:
            value, cursor, time_ns = (item.value, item.cursor, item.time_ns) if type(item) is At else (item, None, None)
            if type(value) is Emit:
                time_ns = value.time_ns if time_ns is None else time_ns
            time_ns = ordinal if time_ns is None else time_ns
            standing.watermark = max(standing.watermark, time_ns)
            try:
                self._outbox.add((value,), time_ns, record_id, standing.watermark)
            except RecordError as error:
                self._fail(error)
        standing.counters.records_in += 1
        standing.cursor = (ordinal + 1, cursor)

    def _fail(self, error: Exception) -> None:
        message = str(error) if isinstance(error, RunFailedError) else f"{type(error).__name__}: {error}"
        code = getattr(error, "code", "component.raised")
        raise RunFailedError(f"{self._vertex}: {message}", code=code, hint=getattr(error, "hint", None)) from error
