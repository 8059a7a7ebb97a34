"""Runs a vertex's component over its inputs, in a fixed order, and puts what it gives into the outbox."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from thalweg.errors import RunFailedError
from thalweg.runtime.faults import Faults
from thalweg.runtime.inputs import BEGINNING, Edge, choose_by_arrival, choose_by_time, run_length
from thalweg.runtime.outbox import Outbox
from thalweg.runtime.passes import CHUNK_S, STRIDE, CloserLookError
from thalweg.runtime.program import Program
from thalweg.runtime.rebuild import Rebuild
from thalweg.runtime.recorded_order import RecordedOrder
from thalweg.runtime.redoing import Redoing
from thalweg.runtime.standing import Standing
from thalweg.sdk.adopt import Build
from thalweg.sdk.values import RecordError
from thalweg.wire import ids
from thalweg.wire.commit import END_OF_TIME

MAX_BATCH_RECORDS = 64  # handed to a component that takes lists


class Processing:
    """What a vertex does with the messages that have arrived.

    Args:
        vertex: its name.
        program: its component.
        edges: its input edges, in rank order.
        outbox: where results go.
        faults: what to do when the component raises.
        standing: how far the vertex is.
        rebuild: whether, and up to where, inputs are read again.
        guard_state: the state is to be as before a record that raised.
        order: of another run, in which records are taken; None where the component's own rule decides.

    Attributes:
        latest: the last record of each port, where records of several are combined.
        finished: all inputs have ended, and so has the component.
    """

    def __init__(
        self,
        vertex: str,
        program: Program,
        edges: list[Edge],
        outbox: Outbox,
        faults: Faults,
        standing: Standing,
        rebuild: Rebuild,
        guard_state: bool,
        order: RecordedOrder | None = None,
    ) -> None:
        self.vertex, self.program, self.edges, self.outbox = vertex, program, edges, outbox
        self.faults, self.standing, self.rebuild = faults, standing, rebuild
        self.redoing = Redoing(program, edges, faults, standing, rebuild, self.attempt, self._call_one)
        self.latest: dict[str, Any] = {}
        self.finished = False
        self.order = order
        self._stride = 1
        component = program.component
        own_rule = choose_by_arrival if component.combine == "arrival" else choose_by_time
        self._choose = own_rule if order is None else order.choose
        self._notes_order = component.combine == "arrival" and len(edges) > 1
        self._taken: list[tuple[int, int]] = []
        self._joint = len(component.arguments) > 1
        self._zip = self._joint and component.combine == "zip"
        self._guard_state = guard_state
        self._many = len(outbox.ports) <= 1 and not (self._joint or guard_state or component.batched or program.sees_watermarks)
        self._tells = component.context_name is not None or component.is_class

    def do_some(self, limit: int) -> int:
        """Works on some records, at most `limit`; how many, 0 when there is nothing to do now.

        Raises:
            RunFailedError: a record stops the run.
        """
        self._settle_rebuild()
        done = self.redoing.do_one() or (self._zip_once() if self._zip else self._next_run(limit))
        if not done:
            self._settle_rebuild()
            self._end_if_drained()
        return done

    def cut_taken(self) -> list[tuple[int, int]]:
        """In which order records were taken since this was last called: see `Commit.taken`."""
        taken, self._taken = self._taken, []
        return taken

    def _take(self, edge: Edge, count: int) -> None:
        """Counts the next records of an edge as worked on."""
        self.standing.counters.records_in += count
        self.standing.touched = True
        edge.take(count)
        if self._notes_order and not self.standing.rebuilding:
            if self._taken and self._taken[-1][0] == edge.order:
                count += self._taken.pop()[1]
            self._taken.append((edge.order, count))

    def blocking(self) -> Edge | None:
        """The silent edge that keeps records of others from being worked on."""
        if self.order is not None:
            return self.order.awaited(self.edges)
        silent = [edge for edge in self.edges if not edge.head and not edge.ended]
        return min(silent, key=lambda edge: (edge.watermark, edge.order)) if silent else None

    def finish(self) -> None:
        """Nothing follows any more."""
        self.finished = self.standing.touched = True
        self.standing.watermark = END_OF_TIME

    def _settle_rebuild(self) -> None:
        """Ends a rebuild that has got to its target; what the watermark there set off is suppressed too."""
        if self.rebuild.is_reached([*self.edges, self.redoing.edge]):
            self._see_watermark(self.rebuild.watermark)
            self.rebuild.end(self.program.context)

    def _next_run(self, limit: int) -> int:
        edges = self.rebuild.read(self.edges)
        edge = self._choose(edges)
        if edge is None:
            self._see_watermark(min((edge.progress for edge in edges), default=BEGINNING))
            return 0
        if self.rebuild.holds(edge):
            return 0
        count = edge.first.alike(min(run_length(edge, edges), limit, self.rebuild.left(edge)))
        if edge.first.is_muted and not self.standing.rebuilding:
            with self.rebuild.muting(self.program.context):
                return self._run(edge, count)
        return self._run(edge, count)

    def _run(self, edge: Edge, count: int) -> int:
        """Works on the next records of an edge; how many."""
        if self.program.component.batched:
            count = self._run_batch(edge, min(count, MAX_BATCH_RECORDS))
        elif self._many:
            count = self._run_many(edge, count)
        else:
            count = self._run_each(edge, count)
        if not edge.head:
            self._see_watermark(min(other.progress for other in self.rebuild.read(self.edges)))
        return count

    def _run_many(self, edge: Edge, count: int) -> int:
        """The fast path: one input, at most one output, no watermarks asked for; as many records as `CHUNK_S` allows."""
        head, call, context = edge.first, _building(edge.build, self.program.calls[edge.port]), self.program.context
        batch, low, high = head.batch, head.index, head.index + count
        parts: list[bytes | None] = []
        closer: Callable[[], Any] | None = None
        started, context.port = time.perf_counter(), edge.port
        try:
            for first in range(low, high, self._stride):
                part = slice(first, min(first + self._stride, high))
                if self._tells:
                    self.outbox.passes.run_telling(call, batch.v[part], batch.t[part], head.ids[part], context, parts)
                else:
                    self.outbox.passes.run(call, batch.v[part], parts)
                if time.perf_counter() - started > CHUNK_S:
                    break
        except CloserLookError as found:
            closer = partial(_same, found.result)
        except (Exception, SystemExit) as error:
            closer = partial(_raise, error)
        done = len(parts)
        self._stride = STRIDE if (time.perf_counter() - started) * STRIDE < CHUNK_S * done else 1
        if done:
            reached = low + done
            roots = None if batch.r is None else batch.r[low:reached]
            self.outbox.add_parts(parts, batch.t[low:reached], head.ids[low:reached], head.progress[low:reached], roots)
            self.standing.watermark = max(self.standing.watermark, head.progress[reached - 1])
            self._take(edge, done)
        if closer is None:
            return done
        self._guarded(edge, _first(closer, lambda: call(batch.v[low + done])))
        return done + 1

    def _run_each(self, edge: Edge, count: int) -> int:
        """One record after the other, until a commit is due."""
        deadline = time.perf_counter() + CHUNK_S
        for done in range(1, count + 1):
            head = edge.first
            self._see_watermark(head.progress[head.index])
            self._run_one(edge)
            if time.perf_counter() > deadline:
                return done
        return count

    def _run_one(self, edge: Edge) -> None:
        head = edge.first
        value = head.batch.v[head.index]
        if self._joint:
            self.latest[edge.port] = value
            if len(self.latest) < len(self.program.component.arguments):
                self._consume(edge)
                return
            self._guarded(edge, lambda: self.program.calls["*"](self._built(self.latest)))
        else:
            self._guarded(edge, lambda: self.program.calls[edge.port](edge.built(value)))

    def _built(self, values: dict[str, Any]) -> dict[str, Any]:
        return {edge.port: edge.built(values[edge.port]) for edge in self.edges}

    def _consume(self, edge: Edge) -> None:
        head = edge.first
        self.standing.watermark = max(self.standing.watermark, head.progress[head.index])
        self._take(edge, 1)

    def _guarded(self, edge: Edge, call: Callable[[], Any]) -> None:
        """Runs the component over one record and applies `on_error` to what it raises."""
        self._guarded_results(edge, lambda: self.program.results(call()))

    def _guarded_results(self, edge: Edge, results: Callable[[], Iterable[Any]]) -> None:
        head = edge.first
        index, progress = head.index, max(head.progress[head.index], self.standing.watermark)
        record_id, where = self._id_here(edge, head.ids[index]), f"record {self.standing.counters.records_in + 1}"
        root, value = head.roots[index], head.batch.v[index]
        self.standing.counters.filtered += self.attempt(edge.port, head.batch.t[index], record_id, root, progress, value, results, where)
        self._consume(edge)

    def attempt(
        self,
        port: str,
        time_ns: int,
        record_id: int,
        root: int,
        progress: int,
        value: Any,
        results: Callable[[], Iterable[Any]],
        where: str,
    ) -> bool:
        """Works on one record, and applies `on_error` to what that raises; whether nothing came of it.

        Args:
            port: by which it came.
            time_ns, record_id, root, progress: of the record.
            value: of it, for the dead letter.
            results: what the component makes of it.
            where: its place in the input, for people.
        """
        context = self.program.context
        context.time_ns, context.record_id, context.port, context.position = time_ns, record_id, port, where
        before = self.program.snapshot() if self._guard_state else None
        mark = self.outbox.mark()

        def undo() -> None:
            self.outbox.rollback(mark)
            if before is not None:
                self.program.restore(before)

        def add() -> int:
            return self.outbox.add(results(), time_ns, record_id, progress, root)

        return not self.faults.attempt(add, undo, value, record_id, root)

    def _call_one(self, edge: Edge, value: Any, by: Edge) -> Iterable[Any]:
        """What the component makes of one record of an edge that comes by another one."""
        if self.program.component.batched:
            return _kept(self._call_batch(by, [value], edge.built))
        return self.program.results(self.program.calls[edge.port](edge.built(value)))

    @staticmethod
    def _id_here(edge: Edge, record_id: int) -> int:
        """The id of a record of this edge: two edges may bring the same one."""
        return record_id if not edge.rank else ids.derived(record_id, edge.rank)

    def _run_batch(self, edge: Edge, count: int) -> int:
        """A component that takes lists: one result per record, in order. A list that raises is given again record by record."""
        head = edge.first
        values, before = head.batch.v[head.index : head.index + count], self.program.snapshot()
        context = self.program.context
        context.time_ns, context.record_id, context.port = head.batch.t[head.index], head.ids[head.index], edge.port
        try:
            given = self._call_batch(edge, values)
        except Exception:
            self.program.restore(before)
            for value in values:
                self._guarded_results(edge, lambda value=value: _kept(self._call_batch(edge, [value])))  # type: ignore[misc]
            return count
        for one in given:
            self._guarded_results(edge, partial(_kept, [one]))
        return count

    def _call_batch(self, edge: Edge, values: list[Any], built: Build | None = None) -> list[Any]:
        head, context = edge.first, self.program.context
        reached = range(head.index, head.index + len(values))
        context.record_ids = [self._id_here(edge, head.ids[index]) for index in reached]
        context.places = [edge.place_of(index) for index in reached]
        given = list(self.program.results(self.program.calls["in"]([(built or edge.built)(value) for value in values])))
        if not self.outbox.ports:
            return [None] * len(values)
        if len(given) != len(values):
            raise RecordError(f"a batch of {len(values)} records came back as {len(given)}")
        return given

    def _zip_once(self) -> int:
        """One record of each port, in step."""
        if all(edge.head for edge in self.edges) and any(self.rebuild.holds(edge) for edge in self.edges):
            return 0
        if not all(edge.head for edge in self.edges):
            for edge in self.edges:
                if edge.head and not self.rebuild.holds(edge) and any(other.ended and not other.head for other in self.edges):
                    self._consume(edge)
                    self.standing.counters.filtered += 1
                    return 1
            return 0
        first, *rest = self.edges
        joined = {edge.port: edge.first.batch.v[edge.first.index] for edge in self.edges}
        self.standing.watermark = max(self.standing.watermark, *(edge.progress for edge in self.edges))
        self._guarded(first, lambda: self.program.calls["*"](self._built(joined)))
        for edge in rest:
            self._consume(edge)
        return len(self.edges)

    def _see_watermark(self, watermark: int) -> None:
        standing = self.standing
        if standing.rebuilding:  # the mark of the last message may go further than the commit had seen; what that sets off is unwritten
            watermark = min(watermark, self.rebuild.watermark)
        if watermark <= standing.watermark:
            return
        standing.touched = standing.touched or not standing.rebuilding
        if self.program.sees_watermarks:
            self.outbox.add_aside("watermark", self.program.watermark(watermark), self.program.context.time_ns)
        standing.watermark = watermark

    def _end_if_drained(self) -> None:
        if self.redoing.edge.head or not all(edge.ended and not edge.head for edge in self.edges) or self.standing.rebuilding:
            return
        try:
            self._see_watermark(END_OF_TIME)
            self.outbox.add_aside("finish", self.program.finish(), self.program.context.time_ns)
        except RunFailedError:
            raise
        except Exception as error:
            raise RunFailedError(
                f"{self.vertex}: at the end of its input: {type(error).__name__}: {error}", code="component.raised"
            ) from error
        self.finish()


def _building(build: Build | None, call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return call if build is None else lambda value: call(build(value))


def _same(value: Any) -> Any:
    return value


def _raise(error: BaseException) -> Any:
    raise error


def _kept(results: list[Any]) -> list[Any]:
    """Results of a batch as records: None is a filtered one."""
    return [one for one in results if one is not None]


def _first(outcome: Callable[[], Any], call: Callable[[], Any]) -> Callable[[], Any]:
    """A call whose first attempt has been made already, with this outcome."""
    attempts = iter((outcome,))
    return lambda: next(attempts, call)()
