"""The pure core of a vertex: takes messages, runs the component over them in a fixed order, cuts commits."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

import msgspec

from thalweg.errors import RunFailedError, ThalwegError
from thalweg.graph.types import StreamType
from thalweg.runtime.faults import MAX_TEXT, Faults
from thalweg.runtime.inputs import BEGINNING, Edge, Message, choose_by_arrival, choose_by_time, run_length
from thalweg.runtime.intake import Intake
from thalweg.runtime.outbox import Outbox
from thalweg.runtime.passes import CloserLookError
from thalweg.runtime.program import Program
from thalweg.runtime.snapshots import SMALL_STATE_BYTES, Schedule, decode_state, encode_state
from thalweg.runtime.standing import Standing
from thalweg.sdk.values import RecordError
from thalweg.wire import ids
from thalweg.wire.commit import END_OF_TIME, Commit, Failure, Generated
from thalweg.wire.subjects import COMMIT_PORT, DEAD_PORT, STATE_PORT

CHUNK_S = 0.002  # how long records are worked on before the limits are looked at again
MAX_BATCH_RECORDS = 64  # handed to a component that takes lists
STRIDE = 16  # records between looks at the clock, where they are fast enough
SLICE_S = 0.002  # how long a step works before it lets others of its thread on
FEW_RECORDS = 64  # done in a step that was not cut short: at such a rate a commit costs little, and waiting for more gains little
_pack = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Limits:
    """When a commit is due: so many records or bytes of output, or so long after the first of them."""

    records: int = 4096
    size_bytes: int = 1_048_576
    wait_s: float = 0.05


class Turn(Enum):
    """How a step ended."""

    MORE = "there is more to do now"
    SLOW = "there is more to do now, but it takes time: commit what there is unless a commit is in flight"
    DUE = "a limit is met: commit before more is done"
    IDLE = "nothing is left to do before something arrives"


@dataclass(frozen=True, slots=True)
class Cut:
    """A commit ready to be written: bodies by port, and what it says."""

    parts: list[tuple[str, bytes]]
    commit: Commit


class Engine:
    """Runs one vertex's component. It knows no server and no clock but for batch limits; equal inputs give equal outputs.

    Args:
        vertex: name of the vertex.
        program: its component.
        edges: its input edges, in rank order.
        outputs: resolved stream type by output port.
        on_error: `fail`, `dead-letter` or `retry`.
        limits: when a commit is cut.
        has_spool: a new copy of the vertex is given all inputs again, so that neither state nor rebuild are needed.
        stop_after: a source ends after so many records.
    """

    def __init__(
        self,
        vertex: str,
        program: Program,
        edges: list[Edge],
        outputs: dict[str, StreamType],
        on_error: str = "fail",
        limits: Limits | None = None,
        has_spool: bool = False,
        stop_after: int | None = None,
    ) -> None:
        self.vertex, self.program, self.edges = vertex, program, edges
        self.limits, self.has_spool = limits or Limits(), has_spool
        self.standing = Standing()
        self.outbox = Outbox(vertex, outputs, self.standing)
        self.faults = Faults(vertex, on_error, self.standing, program.context)
        self.intake = Intake(vertex, program, self.outbox, self.faults, self.standing)
        self.failure: Failure | None = None
        self.ended = self.finished = False
        self.epoch = self.number = 0
        self.generated: dict[str, Generated] = {}
        self.missing: list[str] = []
        self.undeclared: list[str] = []
        self.generation, self.stop_after, self.drained = 1, stop_after, False
        self._wants_snapshot = False
        self._target: dict[str, tuple[int, int]] | None = None
        self._restored, self._restored_watermark = self.standing.counters, BEGINNING
        self._floor: dict[str, tuple[int, int]] | None = None
        self._schedule = Schedule()
        self._latest: dict[str, Any] = {}
        self._uncommitted, self._first_at, self._stride = 0, 0.0, 1
        component = program.component
        self._choose = choose_by_arrival if component.combine == "arrival" else choose_by_time
        self._joint = len(component.arguments) > 1
        self._zip = self._joint and component.combine == "zip"
        self._guard_state = program.has_state and on_error != "fail"
        self._many = len(outputs) <= 1 and not (self._joint or self._guard_state or component.batched or program.sees_watermarks)
        self._tells = component.context_name is not None or component.is_class

    # --- starting -----------------------------------------------------------------------------------------------

    def restore(self, commit: Commit | None, state: bytes | None) -> None:
        """Starts the component where `commit` left it; a rebuild replays inputs from the floor, outputs suppressed."""
        own: bytes | None = None
        if commit is not None:
            self.epoch, self.number = commit.epoch, commit.number
            self.ended, self.failure, self.generated = commit.ended, commit.failure, dict(commit.generated)
            self.standing.counters, self.standing.watermark = commit.counters, commit.watermark
            self.faults.dead_commits = commit.dead_commits
            if commit.cursor is not None:
                self.standing.cursor = msgspec.msgpack.decode(base64.b64decode(commit.cursor))
            self.drained = commit.drained
            for name, stored in commit.ports.items():
                if name in self.outbox.ports:  # a redeploy may have taken it away
                    self.outbox.ports[name].restore(stored)
            self._place_edges(commit)
        try:
            if state is not None and not self.has_spool:
                own, self._latest = decode_state(state, self.edges)
            self.program.start(own)
        except (Exception, SystemExit) as error:
            if state is not None and isinstance(error, msgspec.DecodeError):
                error = _unreadable(self.vertex, error)
            raised = f"{self.vertex}: before the first record: {type(error).__name__}: {error}"
            self.fail(error if isinstance(error, ThalwegError) else RunFailedError(raised, code="component.raised"))
        self.program.context.late_count = self.standing.counters.late
        if self.standing.rebuilding:
            self.standing.watermark = BEGINNING

    def _place_edges(self, commit: Commit) -> None:
        target = {key: (pair[0], pair[1]) for key, pair in commit.positions.items()}
        floor: dict[str, tuple[int, int]] = {} if self.has_spool else dict(commit.floor or target)
        for edge in self.edges:
            edge.position = floor.get(edge.key, (1, 0))
        if commit.floor is not None:
            self._floor = dict(commit.floor)
        if any(edge.position != target.get(edge.key, (1, 0)) for edge in self.edges):
            self._target, self._restored = target, msgspec.structs.replace(commit.counters)
            self._restored_watermark, self.standing.rebuilding = commit.watermark, True

    def _settle_target(self) -> None:
        """Ends the rebuild once every edge stands where the commit stood; what its watermark set off is suppressed too."""
        if self._target is None or any(edge.position < self._target.get(edge.key, (1, 0)) for edge in self.edges):
            return
        self._see_watermark(self._restored_watermark)
        self._target, self.standing.rebuilding = None, False
        self.standing.counters = self._restored
        self.program.context.late_count = self._restored.late

    # --- working ------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Ends a source now, behind what it has emitted; nothing for any other vertex. Call it between steps."""
        if not self.edges and not self.finished and self.failure is None:
            self.drained = True
            self._finish()

    def want_snapshot(self) -> None:
        """The next commit has the state with it, so that a copy with other params goes on from there without a rebuild."""
        self._wants_snapshot = not self.standing.rebuilding

    def offer(self, message: Message) -> None:
        """Takes a message of the log in. One that does not decode as the edge's type fails the vertex."""
        try:
            for edge in self.edges:
                if edge.key == message.edge:
                    before = edge.position
                    edge.offer(message)
                    self.standing.touched = self.standing.touched or edge.position != before
        except RunFailedError as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Stops the vertex; the next commit says why."""
        if self.standing.rebuilding:
            self._target, self.standing.rebuilding, self.standing.counters = None, False, self._restored
        if isinstance(error, ThalwegError):
            message, code, hint = str(error), error.code, error.hint
        else:
            message, code, hint = f"{self.vertex}: {type(error).__name__}: {error}", "component.raised", None
        self.failure = Failure(message[:MAX_TEXT], code, hint and hint[:MAX_TEXT])
        self.standing.touched = True

    def step(self) -> Turn:
        """Works for a short while, at most until a commit is due."""
        deadline, before = time.perf_counter() + SLICE_S, self._uncommitted
        try:
            while not (self.finished or self.failure or self._is_due()):
                done = self._do_some(self._room())
                if not done and not self.finished:
                    return Turn.IDLE
                if not self._uncommitted:
                    self._first_at = time.perf_counter()
                self._uncommitted += done
                if time.perf_counter() > deadline and not self._is_due():
                    return Turn.MORE if self._uncommitted - before >= FEW_RECORDS else Turn.SLOW
        except (Exception, SystemExit) as error:
            self.fail(error if isinstance(error, Exception) else RuntimeError(f"the component ended its process: {error!r}"))
        return Turn.DUE

    def spare_s(self) -> float:
        """How long a commit may be put off though nothing is left to do: nobody waits for one that holds no records."""
        if self.outbox.ports or not self._uncommitted or self.faults.size:
            return 0.0
        return max(0.0, self._first_at + self.limits.wait_s - time.perf_counter())

    def _room(self) -> int:
        """How many records may be worked on before a commit is due by their number."""
        return self.limits.records - self._uncommitted if self.outbox.ports else self.limits.records

    def _is_due(self) -> bool:
        limits = self.limits
        return (
            self._uncommitted > 0
            and not self.standing.rebuilding
            and (
                (self._uncommitted >= limits.records and bool(self.outbox.ports))
                or self.outbox.size + self.faults.size >= limits.size_bytes
                or time.perf_counter() - self._first_at >= limits.wait_s
            )
        )

    def _do_some(self, limit: int) -> int:
        """Works on some records; how many, 0 when there is nothing to do now."""
        if not self.edges:
            left = limit if self.stop_after is None else min(limit, self.stop_after - self.standing.counters.records_in)
            done, ended = self.intake.pull(left) if left > 0 else (0, True)
            if ended:
                self._finish()
            return done
        self._settle_target()
        done = self._zip_once() if self._zip else self._next_run(limit)
        if not done:
            self._settle_target()
            self._end_if_drained()
        return done

    def _next_run(self, limit: int) -> int:
        edge = self._choose(self.edges)
        if edge is None:
            self._see_watermark(min(edge.progress for edge in self.edges))
            return 0
        if self._is_at_target(edge):
            return 0
        count = min(run_length(edge, self.edges), limit, self._until_target(edge))
        if self.program.component.batched:
            count = self._run_batch(edge, min(count, MAX_BATCH_RECORDS))
        elif self._many:
            count = self._run_many(edge, count)
        else:
            count = self._run_each(edge, count)
        if not edge.head:
            self._see_watermark(min(other.progress for other in self.edges))
        return count

    def _is_at_target(self, edge: Edge) -> bool:
        """During a rebuild, an edge that is where it was committed waits for the others: what follows must not be suppressed."""
        return self._target is not None and edge.position >= self._target.get(edge.key, (1, 0))

    def _until_target(self, edge: Edge) -> int:
        """During a rebuild, records up to the committed position of this message only."""
        head = edge.first
        if self._target is not None:
            sequence, skip = self._target.get(edge.key, (1, 0))
            if sequence == head.message.first and skip > head.index:
                return skip - head.index
        return head.left

    def _run_many(self, edge: Edge, count: int) -> int:
        """The fast path: one input, at most one output, no watermarks asked for; as many records as `CHUNK_S` allows."""
        head, call, context = edge.first, self.program.calls[edge.port], self.program.context
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
            self.outbox.add_parts(parts, batch.t[low:reached], head.ids[low:reached], head.progress[low:reached])
            self.standing.watermark = max(self.standing.watermark, head.progress[reached - 1])
            self.standing.counters.records_in += done
            edge.take(done)
            self.standing.touched = True
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
            self._latest[edge.port] = value
            if len(self._latest) < len(self.program.component.arguments):
                self._consume(edge)
                return
            joined = dict(self._latest)
            self._guarded(edge, lambda: self.program.calls["*"](joined))
        else:
            self._guarded(edge, lambda: self.program.calls[edge.port](value))

    def _consume(self, edge: Edge) -> None:
        head = edge.first
        self.standing.watermark = max(self.standing.watermark, head.progress[head.index])
        self.standing.counters.records_in += 1
        edge.take(1)
        self.standing.touched = True

    def _guarded(self, edge: Edge, call: Callable[[], Any]) -> None:
        """Runs the component over one record and applies `on_error` to what it raises."""
        self._guarded_results(edge, lambda: self.program.results(call()))

    def _guarded_results(self, edge: Edge, results: Callable[[], Iterable[Any]]) -> None:
        head = edge.first
        record_id = head.ids[head.index] if not edge.order else ids.derived(head.ids[head.index], edge.order)
        context = self.program.context
        context.time_ns, context.record_id, context.port = head.batch.t[head.index], record_id, edge.port
        context.position = f"record {self.standing.counters.records_in + 1}"
        before = self.program.snapshot() if self._guard_state else None
        mark, progress = self.outbox.mark(), max(head.progress[head.index], self.standing.watermark)

        def undo() -> None:
            self.outbox.rollback(mark)
            if before is not None:
                self.program.restore(before)

        def add() -> int:
            return self.outbox.add(results(), context.time_ns, record_id, progress)

        self.standing.counters.filtered += not self.faults.attempt(add, undo, head.batch.v[head.index], record_id)
        self._consume(edge)

    def _run_batch(self, edge: Edge, count: int) -> int:
        """A component that takes lists: one result per record, in order. A list that raises is given again record by record."""
        head = edge.first
        values, before = head.batch.v[head.index : head.index + count], self.program.snapshot()
        context = self.program.context
        context.time_ns, context.record_id, context.port = head.batch.t[head.index], head.ids[head.index], edge.port
        try:
            given = self._call_batch(values)
        except Exception:
            self.program.restore(before)
            for value in values:
                self._guarded_results(edge, lambda value=value: _kept(self._call_batch([value])))  # type: ignore[misc]
            return count
        for one in given:
            self._guarded_results(edge, partial(_kept, [one]))
        return count

    def _call_batch(self, values: list[Any]) -> list[Any]:
        given = list(self.program.results(self.program.calls["in"](values)))
        if not self.outbox.ports:
            return [None] * len(values)
        if len(given) != len(values):
            raise RecordError(f"a batch of {len(values)} records came back as {len(given)}")
        return given

    def _zip_once(self) -> int:
        """One record of each port, in step."""
        if all(edge.head for edge in self.edges) and any(self._is_at_target(edge) for edge in self.edges):
            return 0
        if not all(edge.head for edge in self.edges):
            for edge in self.edges:
                if edge.head and not self._is_at_target(edge) and any(other.ended and not other.head for other in self.edges):
                    self._consume(edge)
                    self.standing.counters.filtered += 1
                    return 1
            return 0
        first, *rest = self.edges
        joined = {edge.port: edge.first.batch.v[edge.first.index] for edge in self.edges}
        self.standing.watermark = max(self.standing.watermark, *(edge.progress for edge in self.edges))
        self._guarded(first, lambda: self.program.calls["*"](joined))
        for edge in rest:
            self._consume(edge)
        return len(self.edges)

    def _see_watermark(self, watermark: int) -> None:
        standing = self.standing
        if watermark <= standing.watermark:
            return
        standing.touched = standing.touched or not standing.rebuilding
        if self.program.sees_watermarks:
            self.outbox.add_aside("watermark", self.program.watermark(watermark), self.program.context.time_ns)
        standing.watermark = watermark

    def _end_if_drained(self) -> None:
        if not all(edge.ended and not edge.head for edge in self.edges) or self.standing.rebuilding:
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
        self._finish()

    def _finish(self) -> None:
        self.finished = self.standing.touched = True
        self.standing.watermark = END_OF_TIME

    # --- committing ---------------------------------------------------------------------------------------------

    @property
    def positions(self) -> dict[str, tuple[int, int]]:
        """What to read next, by edge."""
        return {edge.key: edge.position for edge in self.edges}

    def needs_commit(self) -> bool:
        """Whether there is anything that the log does not know yet."""
        return (self.standing.touched or self._has_stale_snapshot()) and not self.standing.rebuilding

    def _has_stale_snapshot(self) -> bool:
        return self._wants_snapshot and self._floor is not None and self._floor != self.positions

    def cut(self) -> Cut:
        """Takes everything since the last commit as the next one."""
        self.number += 1
        self._uncommitted, self.standing.touched = 0, False
        parts: list[tuple[str, bytes]] = []
        inline = self._cut_state(parts)
        if (dead := self.faults.cut()) is not None:
            parts.append((DEAD_PORT, dead))
        if self.outbox.ports:
            parts += [(port.name, port.cut(inline)) for port in self.outbox.ports.values()]
        else:
            parts.append((COMMIT_PORT, _pack({"v": [], "t": [], "k": [], "s": inline})))
        counters = self.standing.counters
        counters.late = self.program.context.late_count
        counters.bytes_out += sum(len(body) for _, body in parts)
        self.ended = self.finished and self.failure is None
        return Cut(parts, self._commit())

    def _cut_state(self, parts: list[tuple[str, bytes]]) -> bytes | None:
        """The state when it is small; a large one goes into `parts` when a snapshot is due."""
        state = None if self.has_spool else encode_state(self.program.snapshot(), self._latest)
        if state is None or len(state) <= SMALL_STATE_BYTES:
            self._floor = None
            return state
        if self._wants_snapshot or self._schedule.is_due(self._floor is None, sum(edge.taken_messages for edge in self.edges)):
            parts.append((STATE_PORT, state))
            self._floor = self.positions
        return None

    def _promise(self) -> int | None:
        """What readers may count on, where emissions at a watermark or at the end may lie behind the watermark."""
        hold_back_ns = self.program.context.hold_back_ns if self.program.component.emits_aside else 0
        if hold_back_ns == 0 or self.finished:
            return None
        return BEGINNING if hold_back_ns is None else max(BEGINNING, self.standing.watermark - hold_back_ns)

    def _commit(self) -> Commit:
        standing = self.standing
        return Commit(
            epoch=self.epoch,
            number=self.number,
            positions=self.positions,
            floor=self._floor,
            cursor=base64.b64encode(_pack(standing.cursor)).decode() if standing.cursor is not None else None,
            watermark=standing.watermark,
            promise=self._promise(),
            ended=self.ended,
            counters=msgspec.structs.replace(standing.counters),
            dead_commits=self.faults.dead_commits,
            ports={name: port.stored() for name, port in self.outbox.ports.items()},
            generated=dict(self.generated),
            failure=self.failure,
            generation=self.generation,
            drained=self.drained,
            missing=list(self.missing),
            undeclared=list(self.undeclared),
        )


def _unreadable(vertex: str, error: Exception) -> RunFailedError:
    """A redeploy may have changed the component so that it does not know its own state again."""
    what = f"{vertex}: the state that it committed cannot be read by what it is now: {error}"
    hint = "undeploy and deploy again, or redeploy the release that wrote it"
    return RunFailedError(what, code="state.unreadable", hint=hint)


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
