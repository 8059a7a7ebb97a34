"""The pure core of a vertex: takes messages, runs the component over them in a fixed order, cuts commits."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from thalweg.errors import RunFailedError
from thalweg.graph.types import StreamType
from thalweg.runtime.inputs import BEGINNING, Edge, Message, choose_by_arrival, choose_by_time, run_length
from thalweg.runtime.outbox import Port
from thalweg.runtime.program import Program
from thalweg.sdk.values import At, Bad, Emit, RecordError
from thalweg.wire import ids
from thalweg.wire.commit import END_OF_TIME, Commit, Counters, Failure, Generated
from thalweg.wire.subjects import COMMIT_PORT, DEAD_PORT, STATE_PORT

SMALL_STATE_BYTES = 8192
SNAPSHOT_EVERY_S, SNAPSHOT_EVERY_MESSAGES = 1.0, 128
RETRIES = 4
MAX_DEAD_BYTES = 65_536
MAX_DEAD_COMMITS = 512  # dead letters are never trimmed, and a subject holds a limited number of messages
_pack = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Limits:
    """When a commit is cut: at most so many records, bytes of output, seconds of work."""

    records: int = 2048
    size_bytes: int = 524_288
    work_s: float = 0.05


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
    ) -> None:
        self.vertex, self.program, self.edges = vertex, program, edges
        self.limits, self.on_error, self.has_spool = limits or Limits(), on_error, has_spool
        self.ports = {name: Port(name, kind) for name, kind in outputs.items()}
        self.counters = Counters()
        self.failure: Failure | None = None
        self.cursor: Any = None
        self.watermark = BEGINNING
        self.ended = self.finished = False
        self.epoch = self.number = 0
        self.generated: dict[str, Generated] = {}
        self.touched = False
        self._dead: list[dict[str, Any]] = []
        self._base_id = ids.source_base(vertex)
        self._target: dict[str, tuple[int, int]] | None = None
        self._restored_counters: Counters | None = None
        self._floor: dict[str, tuple[int, int]] | None = None
        self._snapshot_at, self._snapshot_messages = 0.0, 0
        self._dead_commits = 0
        self._source: Any = None
        self._latest: dict[str, Any] = {}
        component = program.component
        self._choose = choose_by_arrival if component.combine == "arrival" else choose_by_time
        self._joint = "*" in program.calls or (len(component.arguments) > 1)
        self._zip = self._joint and component.combine == "zip"
        self._plain = not component.is_class or not program.sees_watermarks
        self._guard_state = program.has_state and on_error != "fail"

    # --- starting -----------------------------------------------------------------------------------------------

    def restore(self, commit: Commit | None, state: bytes | None) -> None:
        """Starts the component where `commit` left it; a rebuild replays inputs from the floor, outputs suppressed."""
        if commit is not None:
            self.epoch, self.number = commit.epoch, commit.number
            self.counters, self.watermark = commit.counters, commit.watermark
            self.ended, self.failure, self.generated = commit.ended, commit.failure, dict(commit.generated)
            if commit.cursor is not None:
                self.cursor = msgspec.msgpack.decode(base64.b64decode(commit.cursor))
            for name, stored in commit.ports.items():
                self.ports[name].restore(stored)
            self._place_edges(commit)
        self.program.start(None if self.has_spool else state)
        self.program.context.late_count = self.counters.late
        if self._rebuilding:
            self.watermark = BEGINNING

    def _place_edges(self, commit: Commit) -> None:
        target = {key: (pair[0], pair[1]) for key, pair in commit.positions.items()}
        floor: dict[str, tuple[int, int]] = {} if self.has_spool else dict(commit.floor or target)
        for edge in self.edges:
            edge.position = floor.get(edge.key, (1, 0))
        if commit.floor is not None:
            self._floor = dict(commit.floor)
        if any(edge.position != target.get(edge.key, (1, 0)) for edge in self.edges):
            self._target, self._restored_counters = target, msgspec.structs.replace(self.counters)
        self._settle_target()

    @property
    def _rebuilding(self) -> bool:
        return self._target is not None

    def _settle_target(self) -> None:
        """Ends the rebuild once every edge stands where the commit stood."""
        if self._target is not None and all(edge.position >= self._target.get(edge.key, (1, 0)) for edge in self.edges):
            self._target = None
            if self._restored_counters is not None:
                self.counters = self._restored_counters
                self.program.context.late_count = self.counters.late

    # --- working ------------------------------------------------------------------------------------------------

    def offer(self, message: Message) -> None:
        """Takes a message of the log in. One that does not decode as the edge's type fails the vertex."""
        for edge in self.edges:
            if edge.key == message.edge:
                before = edge.position
                edge.offer(message)
                self.touched = self.touched or edge.position != before
        self._settle_target()

    def step(self) -> bool:
        """Works until a limit is met or nothing is left to do; True when the limits ask for a commit now."""
        if self.finished or self.failure:
            return True
        try:
            return self._pull() if not self.edges else self._work()
        except RunFailedError as error:
            self.failure = Failure(str(error), error.code, error.hint)
            self.touched = True
            return True

    def _full(self, started: float, records: int) -> bool:
        return (
            records >= self.limits.records
            or sum(port.size for port in self.ports.values()) >= self.limits.size_bytes
            or time.perf_counter() - started >= self.limits.work_s
        )

    def _work(self) -> bool:
        started, records = time.perf_counter(), 0
        while not self._full(started, records):
            done = self._zip_once() if self._zip else self._next_run(self.limits.records - records)
            if not done:
                self._end_if_drained()
                return self.finished
            records += done
            self._settle_target()
        return True

    def _next_run(self, limit: int) -> int:
        edge = self._choose(self.edges)
        if edge is None:
            self._see_watermark(min(edge.progress for edge in self.edges))
            return 0
        if self._is_at_target(edge):
            return 0
        head = edge.queue[0]
        count = min(run_length(edge, self.edges), limit, self._until_target(edge))
        if self._plain and not self._joint and count > 1 and not self._guard_state and not self.program.component.batched:
            self._run_many(edge, count)
        elif self.program.component.batched:
            self._run_batch(edge, count)
        else:
            for _ in range(count):
                self._see_watermark(head.progress[head.index])
                self._run_one(edge)
        if not edge.queue:
            self._see_watermark(min(other.progress for other in self.edges))
        return count

    def _is_at_target(self, edge: Edge) -> bool:
        """During a rebuild, an edge that is where it was committed waits for the others: what follows must not be suppressed."""
        return self._target is not None and edge.position >= self._target.get(edge.key, (1, 0))

    def _until_target(self, edge: Edge) -> int:
        """During a rebuild, records up to the committed position of this message only."""
        head = edge.queue[0]
        if self._target is not None:
            sequence, skip = self._target.get(edge.key, (1, 0))
            if sequence == head.message.first and skip > head.index:
                return skip - head.index
        return head.left

    def _run_many(self, edge: Edge, count: int) -> None:
        """The fast path: one input, a function, no watermarks asked for."""
        head, call, context = edge.queue[0], self.program.calls[edge.port], self.program.context
        low = head.index
        high = low + count
        batch = head.batch
        given: list[Any] = []
        raised: Exception | None = None
        context.port = edge.port
        asks = self.program.component.context_name is not None or self.program.component.is_class
        try:
            if asks:
                for index in range(low, high):
                    context.time_ns, context.record_id = batch.t[index], batch.k[index]
                    given.append(call(batch.v[index]))
            else:
                for value in batch.v[low:high]:
                    given.append(call(value))
        except Exception as error:
            raised = error
        if raised is None and self._add_plain(edge, given, low, high):
            return
        for one in given:
            self._guarded(edge, lambda one=one: one)
        if raised is not None:
            self._guarded(edge, _first_raise(raised, lambda: call(batch.v[low + len(given)])))

    def _add_plain(self, edge: Edge, given: list[Any], low: int, high: int) -> bool:
        """Takes one record out for each in at once; False when the results need a closer look."""
        if (
            self._rebuilding
            or len(self.ports) != 1
            or any(
                one is None or type(one) is Emit or hasattr(one, "__next__") or hasattr(one, "__await__") or hasattr(one, "__anext__")
                for one in given
            )
        ):
            return False
        head = edge.queue[0]
        try:
            next(iter(self.ports.values())).add_many(given, head.batch.t[low:high], head.batch.k[low:high], head.progress[low:high])
        except RecordError:
            return False
        self.counters.records_in += high - low
        self.counters.records_out += high - low
        self.watermark = max(self.watermark, head.progress[high - 1])
        edge.take(high - low)
        self.touched = True
        return True

    def _run_one(self, edge: Edge) -> None:
        head = edge.queue[0]
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
        head = edge.queue[0]
        self.watermark = max(self.watermark, head.progress[head.index])
        self.counters.records_in += 1
        edge.take(1)
        self.touched = True

    def _guarded(self, edge: Edge, call: Any) -> None:
        """Runs the component over one record and applies `on_error` to what it raises."""
        head = edge.queue[0]
        time_ns, record_id, progress = head.batch.t[head.index], head.batch.k[head.index], head.progress[head.index]
        if edge.order:
            record_id = ids.derived(record_id, edge.order)
        context = self.program.context
        context.time_ns, context.record_id, context.port = time_ns, record_id, edge.port
        context.position = f"record {self.counters.records_in + 1}"
        before = self.program.snapshot() if self._guard_state else None
        marks = {name: len(port.parts) for name, port in self.ports.items()}
        for attempt in range(RETRIES + 1):
            try:
                emitted = self._emit(self.program.results(call()), time_ns, record_id, max(progress, self.watermark))
                break
            except Exception as error:
                for name, port in self.ports.items():
                    port.rollback(marks[name])
                if before is not None:
                    self.program.restore(before)
                self.counters.errors += 1
                if self.on_error == "retry" and attempt < RETRIES:
                    time.sleep(0.05 * 2**attempt)
                    continue
                emitted = self._fault(error, head.batch.v[head.index], record_id)
                break
        if not emitted:
            self.counters.filtered += 1
        self._consume(edge)

    def _fault(self, error: Exception, value: Any, record_id: int) -> int:
        """A dead letter, or the end of the run."""
        message = str(error) if isinstance(error, RecordError) else f"{type(error).__name__}: {error}"
        where = self.program.context.position
        if self.on_error != "dead-letter":
            if isinstance(error, RecordError) and error.where:
                raise RunFailedError(f"{self.vertex}: {message}", code=error.code, hint=error.hint) from error
            raise RunFailedError(
                f"{self.vertex}: {where}: {message}",
                code="component.raised",
                hint=f"set on_error: dead-letter on {self.vertex} to keep such records aside and go on",
            ) from error
        if not self._rebuilding:
            shown = _pack(value)
            if self._dead_commits >= MAX_DEAD_COMMITS:
                raise RunFailedError(
                    f"{self.vertex}: {where}: {message}; and too many dead letters before it",
                    code="dead_letters.full",
                    hint=f"{self.counters.dead} records are kept aside already; is the input what you think?",
                )
            self._dead.append({"id": record_id, "where": where, "error": message, "value": shown[:MAX_DEAD_BYTES]})
            self.counters.dead += 1
        return 1

    def _emit(self, results: Iterable[Any], time_ns: int, record_id: int, progress: int) -> int:
        count = 0
        for result in results:
            port_name, value, at = "out", result, time_ns
            if type(result) is Emit:
                port_name, value = result.port, result.value
                at = time_ns if result.time_ns is None else result.time_ns
            port = self.ports.get(port_name)
            if port is None:
                raise RecordError(f"the component emitted to port {port_name!r}, which it does not have")
            if not self._rebuilding:
                port.add(value, at, record_id if count == 0 else ids.derived(record_id, count), max(progress, at))
                self.counters.records_out += 1
            count += 1  # noqa: SIM113 - it is asked for after the loop
        if not self.ports:
            count = 1
        return count

    def _run_batch(self, edge: Edge, count: int) -> None:
        """A component that takes lists: one result per record, in order; a fault falls on the whole list's first record."""
        head = edge.queue[0]
        low = head.index
        values = head.batch.v[low : low + count]
        try:
            given = list(self.program.results(self.program.calls["in"](values)))
            if self.ports and len(given) != len(values):
                raise RecordError(f"a batch of {len(values)} records came back as {len(given)}")
        except Exception as error:
            self._fault(error, values[0], head.batch.k[low])
            self._consume(edge)
            return
        for index in range(count):
            one = given[index] if self.ports else None
            self._guarded(edge, lambda one=one: one)

    def _zip_once(self) -> int:
        """One record of each port, in step."""
        if all(edge.queue for edge in self.edges) and any(self._is_at_target(edge) for edge in self.edges):
            return 0
        if not all(edge.queue for edge in self.edges):
            for edge in self.edges:
                if edge.queue and not self._is_at_target(edge) and any(other.ended and not other.queue for other in self.edges):
                    self._consume(edge)
                    self.counters.filtered += 1
                    return 1
            return 0
        first, *rest = self.edges
        joined = {edge.port: edge.queue[0].batch.v[edge.queue[0].index] for edge in self.edges}
        self.watermark = max(self.watermark, *(edge.progress for edge in self.edges))
        self._guarded(first, lambda: self.program.calls["*"](joined))
        for edge in rest:
            self._consume(edge)
        return len(self.edges)

    def _see_watermark(self, watermark: int) -> None:
        if watermark <= self.watermark:
            return
        self.touched = self.touched or not self._rebuilding
        if self.program.sees_watermarks:
            self._emit_aside("watermark", self.program.watermark(watermark))
        self.watermark = watermark

    def _emit_aside(self, cause: str, results: Iterable[Any]) -> None:
        """Emissions that no single record causes: at a watermark, at the end."""
        for result in results:
            name = result.port if type(result) is Emit else "out"
            at = result.time_ns if type(result) is Emit and result.time_ns is not None else self.program.context.time_ns
            port = self.ports[name]
            if not self._rebuilding:
                value = result.value if type(result) is Emit else result
                record_id = ids.derived(self.vertex, cause, name, port.count + len(port.parts))
                floor = port.progress[-1] if port.progress else port.base
                port.add(value, at, record_id, max(floor, at))
                self.counters.records_out += 1

    def _end_if_drained(self) -> None:
        if all(edge.ended and not edge.queue for edge in self.edges) and not self._rebuilding:
            try:
                self._see_watermark(END_OF_TIME)
                self._emit_aside("finish", self.program.finish())
            except RunFailedError:
                raise
            except Exception as error:
                raise RunFailedError(
                    f"{self.vertex}: at the end of its input: {type(error).__name__}: {error}", code="component.raised"
                ) from error
            self._finish()

    def _finish(self) -> None:
        self.finished = self.touched = True
        self.watermark = END_OF_TIME

    # --- sources ------------------------------------------------------------------------------------------------

    def _pull(self) -> bool:
        if self._source is None:
            self._source = self.program.source(self.cursor[1] if self.cursor is not None else None)
            if self.cursor is not None and self.cursor[1] is None:  # a source without cursors is run over what is committed
                for _ in range(self.cursor[0]):
                    next(self._source)
        started, records = time.perf_counter(), 0
        while not self._full(started, records):
            try:
                item = next(self._source)
            except StopIteration:
                self._finish()
                return True
            except Exception as error:
                self._source_failed(error)
                return True
            self._take_source(item)
            records += 1
        return True

    def _source_failed(self, error: Exception) -> None:
        message = str(error) if isinstance(error, RunFailedError) else f"{type(error).__name__}: {error}"
        code = getattr(error, "code", "component.raised")
        raise RunFailedError(f"{self.vertex}: {message}", code=code, hint=getattr(error, "hint", None)) from error

    def _take_source(self, item: Any) -> None:
        ordinal = self.counters.records_in
        if type(item) is Bad:
            self.program.context.position = item.error.where or f"record {ordinal + 1}"
            self._fault(item.error, item.raw, self._base_id + ordinal)
            self.counters.records_in += 1
            self.cursor = (ordinal + 1, item.cursor)
            self.touched = True
            return
        if type(item) is At:
            value, cursor, time_ns = item.value, item.cursor, item.time_ns
        elif type(item) is Emit:
            value, cursor, time_ns = item.value, None, item.time_ns
        else:
            value, cursor, time_ns = item, None, None
        if time_ns is None:
            time_ns = ordinal
        name = item.port if type(item) is Emit else "out"
        progress = self.watermark = max(self.watermark, time_ns)
        try:
            self.ports[name].add(value, time_ns, self._base_id + ordinal, progress)
        except RecordError as error:
            self._source_failed(error)
        self.counters.records_in += 1
        self.counters.records_out += 1
        self.cursor = (ordinal + 1, cursor)
        self.touched = True

    # --- committing ---------------------------------------------------------------------------------------------

    @property
    def positions(self) -> dict[str, tuple[int, int]]:
        """What to read next, by edge."""
        return {edge.key: edge.position for edge in self.edges}

    def needs_commit(self) -> bool:
        """Whether there is anything that the log does not know yet."""
        return self.touched and not self._rebuilding

    def cut(self) -> Cut:
        """Takes everything since the last commit as the next one."""
        self.number += 1
        self.touched = False
        state = None if self.has_spool else self.program.snapshot()
        parts: list[tuple[str, bytes]] = []
        inline = state if state is not None and len(state) <= SMALL_STATE_BYTES else None
        if inline is not None or state is None:
            self._floor = None
        elif self._snapshot_due():
            parts.append((STATE_PORT, state))
            self._floor = self.positions
        if self._dead:
            parts.append((DEAD_PORT, _pack(self._dead)))
            self._dead = []
            self._dead_commits += 1
        if not self.ports:
            parts.append((COMMIT_PORT, _pack({"v": [], "t": [], "k": [], "s": inline})))
        else:
            parts += [(port.name, port.cut(inline)) for port in self.ports.values()]
        self.counters.late = self.program.context.late_count
        self.counters.bytes_out += sum(len(body) for _, body in parts)
        self.ended = self.finished and self.failure is None
        cursor = base64.b64encode(_pack(self.cursor)).decode() if self.cursor is not None else None
        return Cut(
            parts,
            Commit(
                epoch=self.epoch,
                number=self.number,
                positions=self.positions,
                floor=self._floor,
                cursor=cursor,
                watermark=self.watermark,
                ended=self.ended,
                counters=msgspec.structs.replace(self.counters),
                ports={name: port.stored() for name, port in self.ports.items()},
                generated=dict(self.generated),
                failure=self.failure,
            ),
        )

    def _snapshot_due(self) -> bool:
        messages = sum(edge.taken_messages for edge in self.edges)
        now = time.monotonic()
        if (
            self._floor is not None
            and messages - self._snapshot_messages < SNAPSHOT_EVERY_MESSAGES
            and now - self._snapshot_at < SNAPSHOT_EVERY_S
        ):
            return False
        self._snapshot_at, self._snapshot_messages = now, messages
        return True


def _first_raise(error: Exception, call: Callable[[], Any]) -> Callable[[], Any]:
    """A call whose first attempt has been made already and raised `error`."""
    attempts = 0

    def attempt() -> Any:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise error
        return call()

    return attempt
