"""The pure core of a vertex: takes messages, runs the component over them in a fixed order, cuts commits."""

from __future__ import annotations

import base64
import threading
import time
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec

from thalweg.errors import RunFailedError, ThalwegError
from thalweg.graph.types import StreamType
from thalweg.runtime.faults import MAX_TEXT, Faults
from thalweg.runtime.inputs import BEGINNING, Edge, Message
from thalweg.runtime.intake import Intake
from thalweg.runtime.outbox import Outbox
from thalweg.runtime.processing import Processing
from thalweg.runtime.program import Program
from thalweg.runtime.rebuild import Rebuild
from thalweg.runtime.recorded_order import RecordedOrder
from thalweg.runtime.redaction import Nothing, Redaction
from thalweg.runtime.snapshots import EVERY_MESSAGES, SMALL_STATE_BYTES, Schedule, decode_state, encode_state
from thalweg.runtime.standing import Standing
from thalweg.wire.commit import Commit, Failure, Generated
from thalweg.wire.subjects import COMMIT_PORT, DEAD_PORT, STATE_PORT
from thalweg.wire.takeover import Takeover

SLICE_S = 0.002  # how long a step works before it lets others of its thread on
FEW_RECORDS = 64  # done in a step that was not cut short: at such a rate a commit costs little, and waiting for more gains little
OUTLET_PAUSE_S = 0.02  # between commits of an output endpoint
_pack = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Limits:
    """When a commit is due: so many records or bytes of output, or so long after the first of them.

    And when one has a snapshot of large state: after so many messages, as the log counts them.
    """

    records: int = 4096
    size_bytes: int = 1_048_576
    wait_s: float = 0.05
    snapshot_messages: int = EVERY_MESSAGES


class Turn(Enum):
    """How a step ended."""

    MORE = "there is more to do now"
    SLOW = "there is more to do now, but it takes time: commit what there is unless a commit is in flight"
    DUE = "a limit is met: commit before more is done"
    IDLE = "nothing is left to do before something arrives"


@dataclass(frozen=True, slots=True)
class Cut:
    """A commit ready to be written: bodies by port, and what it says; of a source, its own cursor too."""

    parts: list[tuple[str, bytes]]
    commit: Commit
    cursor: Any = None


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
        redaction: of what is written, None for a vertex without secrets.
        stop_after: a source, or an inlet, ends after so many records.
        traced: records say which one from outside they come from.
        inlet: which of the edges brings what comes from outside: it does not end by itself.
        order: of another run, in which inputs are taken.
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
        *,
        stop_after: int | None = None,
        redaction: Redaction | None = None,
        traced: bool = False,
        inlet: Edge | None = None,
        order: RecordedOrder | None = None,
    ) -> None:
        self.vertex, self.program, self.edges = vertex, program, edges
        self.limits, self.has_spool = limits or Limits(), has_spool
        self.standing = Standing()
        self.inlet = inlet
        self.outbox = Outbox(vertex, outputs, self.standing, redaction, traced=traced)
        kept = {"alone": len(program.component.arguments) <= 1, "traced": traced, "trimmed": inlet is not None}
        self.faults = Faults(vertex, on_error, self.standing, program.context, redaction, **kept)
        self._redaction = redaction
        self._redact = (redaction or Nothing()).text
        self._lock = threading.Lock()  # let go while a source is at work: what it has yielded can be cut meanwhile, on another thread
        self.intake = Intake(vertex, program, self.outbox, self.faults, self.standing, self._lock)
        self.rebuild = Rebuild(self.standing)
        guard_state = program.has_state and on_error != "fail"
        self.processing = Processing(vertex, program, edges, self.outbox, self.faults, self.standing, self.rebuild, guard_state, order)
        self.failure: Failure | None = None
        self.raised: BaseException | None = None  # by the component, where that is why it failed
        self.ended = False
        self.epoch = self.number = 0
        self.waits_for: str | None = None
        self.generated: dict[str, Generated] = {}
        self.missing: list[str] = []
        self.undeclared: list[str] = []
        self.generation, self.stop_after, self.drained, self.rewound = 1, stop_after, False, 0
        self._wants_snapshot = False
        self._taken: tuple[Commit | None, bytes | None] = (None, None)
        self._stuck: Commit | None = None
        self._floor: dict[str, tuple[int, int]] | None = None
        self._schedule = Schedule(self.limits.snapshot_messages)
        self._uncommitted, self._first_at, self._cut_at = 0, 0.0, 0.0

    @property
    def finished(self) -> bool:
        """Whether the component has come to its end; the next commit says so."""
        return self.processing.finished

    def restore(self, commit: Commit | None, state: bytes | None) -> None:
        """Starts the component where `commit` left it; a rebuild replays inputs from the floor, outputs suppressed."""
        own: bytes | None = None
        self._taken = commit, state if commit is None or commit.floor is None else None
        floor_watermark, context = BEGINNING, self.program.context
        if commit is not None:
            self.epoch, self.number = commit.epoch, commit.number
            context.epoch, context.rewound = commit.epoch, commit.rewound
            self.ended, self.failure, self.generated = commit.ended, commit.failure, dict(commit.generated)
            self.standing.counters, self.standing.watermark = msgspec.structs.replace(commit.counters), commit.watermark
            self.faults.dead_commits, context.time_ns = commit.dead_commits, commit.time_ns
            if commit.cursor is not None:
                self.standing.cursor = msgspec.msgpack.decode(base64.b64decode(commit.cursor))
            self.drained, self.rewound = commit.drained, commit.rewound
            for name, stored in commit.ports.items():
                if name in self.outbox.ports:  # a redeploy may have taken it away
                    self.outbox.ports[name].restore(stored)
            self.outbox.target = commit.target
            self.rebuild.begin(commit, self._placed_edges, from_start=self.has_spool)
            self._floor = dict(commit.floor) if commit.floor is not None else None
        if self.processing.order is not None:
            self.processing.order.begin(self.edges)
        try:
            if state is not None and not self.has_spool:
                own, self.processing.latest, floor_watermark, time_ns = decode_state(state, self.edges)
                context.time_ns = time_ns if self.standing.rebuilding else context.time_ns
            self.program.start(own)
        except (Exception, SystemExit) as error:
            if state is not None and isinstance(error, msgspec.DecodeError):
                error = _unreadable(self.vertex, error)
            self._stuck = commit
            raised = f"{self.vertex}: before the first record: {type(error).__name__}: {error}"
            self.fail(error if isinstance(error, ThalwegError) else RunFailedError(raised, code="component.raised"))
            self.raised = self.raised or error
        context.late_count, context.dropped_count = self.standing.counters.late, self.standing.counters.dropped
        if self.standing.rebuilding:
            self.standing.watermark = floor_watermark

    def take_over(self, takeover: Takeover) -> None:
        """Says what retired partitions have worked on. Before `restore`."""
        self.program.context.formers = dict(takeover.formers)
        for edge in self.edges:
            if edge.key in takeover.passed:
                edge.take_over(takeover.passed[edge.key], mutes=takeover.mutes)

    def end_retired(self, takeover: Takeover) -> None:
        """Says where edges end whose writers are retired. After `restore`.

        What a vertex in their place stands at is told at once, before any record: its readers wait for it by event time.
        """
        for edge in self.edges:
            if edge.key in takeover.ends:
                edge.end_after(takeover.ends[edge.key])
        if takeover.passed and all(not port.count for port in self.outbox.ports.values()):
            self.standing.touched = True

    def drain(self) -> None:
        """Ends a source now, behind what it has emitted, also in the middle of a step; nothing for any other vertex."""
        with self._lock:
            self._take_yielded()
            if not self.edges and not self.finished and self.failure is None:
                self.drained = True
                self.intake.close()
                self.processing.finish()

    def hurry(self) -> None:
        """While a source is in a step on another thread: takes in what it has yielded, and has the step end behind its next record."""
        with self._lock:
            self.intake.hurry()
            self._take_yielded()

    def _take_yielded(self) -> None:
        try:
            self._count_done(self.intake.take_yielded())
        except RunFailedError as error:
            self.fail(error)

    def drain_after(self, sequence: int) -> None:
        """Ends the inlet behind a message of the log; nothing for any other vertex. Call it between steps."""
        if self.inlet is not None and self.failure is None:
            self.drained = True
            self.inlet.end_after(sequence)

    def want_snapshot(self) -> None:
        """The next commit has the state with it, so that a copy with other params goes on from there without a rebuild."""
        self._wants_snapshot = not self.standing.rebuilding

    def offer(self, message: Message) -> None:
        """Takes a message of the log in. One that does not decode as the edge's type fails the vertex."""
        try:
            for edge in self.read_edges:
                if edge.key == message.edge:
                    before = edge.position
                    edge.offer(message)
                    self.standing.touched = self.standing.touched or edge.position != before
        except RunFailedError as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Stops the vertex; the next commit says why. Before a rebuild is over, it leaves all else as the last one has it."""
        self.intake.close()
        if self.standing.rebuilding:
            self._stuck = self._taken[0]
        self.rebuild.end(self.program.context)
        self.raised = error.__cause__ if isinstance(error, ThalwegError) else error
        if isinstance(error, ThalwegError):
            message, code, hint = str(error), error.code, error.hint
        else:
            message, code, hint = f"{self.vertex}: {type(error).__name__}: {error}", "component.raised", None
        self.failure = Failure(self._redact(message)[:MAX_TEXT], code, hint and self._redact(hint)[:MAX_TEXT])
        self.standing.touched = True

    def step(self) -> Turn:
        """Works for a short while; a source, unless it is slow, until a commit is due."""
        with self._lock:
            turn = self._step()
            self.intake.calm()
            return turn

    def _step(self) -> Turn:
        deadline, before = time.perf_counter() + SLICE_S, self._uncommitted
        try:
            while not (self.finished or self.failure or self._is_due()):
                done = self._do_some(self._room())
                if not done and not self.finished:
                    return Turn.IDLE
                self.waits_for = None
                self._count_done(done)
                is_hurried = self.intake.is_hurried  # nobody hurries a step twice: it must not go back into the source
                if (is_hurried or time.perf_counter() > deadline) and not self._is_due():
                    if is_hurried or self._uncommitted - before < FEW_RECORDS:
                        return Turn.SLOW
                    if self.edges:
                        return Turn.MORE
                    deadline, before = time.perf_counter() + SLICE_S, self._uncommitted
        except (Exception, SystemExit) as error:
            self.fail(error if isinstance(error, Exception) else RuntimeError(f"the component ended its process: {error!r}"))
        return Turn.DUE

    def _count_done(self, done: int) -> None:
        if not self._uncommitted:
            self._first_at = time.perf_counter()
        if not self.standing.rebuilding:  # else a long rebuild would use up the room of a commit that is not due
            self._uncommitted += done

    def spare_s(self) -> float:
        """How long a commit may be put off though nothing is left to do: nobody waits for one that holds no records.

        Commits of an output endpoint are dear, as each is an atomic batch, and hold up whoever else writes to the log: under load they
        keep a distance.
        """
        if self.program.component.endpoint == "out":
            return max(0.0, self._cut_at + OUTLET_PAUSE_S - time.perf_counter())
        if self.outbox.ports or not self._uncommitted or self.faults.size:
            return 0.0
        return max(0.0, self._first_at + self.limits.wait_s - time.perf_counter())

    def blocking_edge(self) -> str | None:
        """After an idle step: the edge whose silence keeps records of others from being worked on."""
        if self.standing.rebuilding or not any(edge.head for edge in self.edges):
            return None
        edge = self.processing.blocking()
        return edge.key if edge is not None else None

    def say_waiting(self, edge: str) -> None:
        """Has the next commit say what the vertex waits for."""
        self.waits_for, self.standing.touched = edge, True

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
        left = limit if self.stop_after is None else min(limit, self.stop_after - self.standing.counters.records_in)
        if self.inlet is not None and left <= 0 and not self.standing.rebuilding:
            self.inlet.end_here()
        if self.edges:
            return self.processing.do_some(limit if self.inlet is None else max(left, 1))
        done, ended = self.intake.pull(left) if left > 0 else (0, True)
        if ended:
            self.processing.finish()
        return done

    @property
    def read_edges(self) -> list[Edge]:
        """The input edges, and that of dead letters which are given again, where any may come."""
        return self._placed_edges if self.processing.redoing.is_wanted else self.edges

    @property
    def _placed_edges(self) -> list[Edge]:
        return [*self.edges, self.processing.redoing.edge] if self.edges and self.inlet is None else self.edges

    @property
    def positions(self) -> dict[str, tuple[int, int]]:
        """What to read next, by edge."""
        return {edge.key: edge.position for edge in self.edges} | self.processing.redoing.position

    def needs_commit(self) -> bool:
        """Whether there is anything that the log does not know yet."""
        return (self.standing.touched or self._has_stale_snapshot()) and not self.standing.rebuilding

    def _has_stale_snapshot(self) -> bool:
        return self._wants_snapshot and self._floor is not None and self._floor != self.positions

    def cut(self, *, may_end: bool = True) -> Cut:
        """Takes everything since the last commit as the next one.

        Args:
            may_end: the commit may say that the vertex has ended; else a later one does, as its files are not stored yet.
        """
        with self._lock:
            return self._cut(may_end)

    def _cut(self, may_end: bool) -> Cut:
        self.number += 1
        self._uncommitted, self._cut_at = 0, time.perf_counter()
        parts: list[tuple[str, bytes]] = []
        state = self._state() if self._stuck is None else None
        if self._stuck is None and self._keeps_secret(state):
            self._refuse_secret()
        self.standing.touched = self.finished and self.failure is None and not may_end
        inline = self._cut_state(parts, state)
        if self._stuck is None and (dead := self.faults.cut()) is not None:
            parts.append((DEAD_PORT, dead))
        if self.outbox.ports:
            parts += [(port.name, port.cut(inline)) for port in self.outbox.ports.values()]
        else:
            parts.append((COMMIT_PORT, _pack({"v": [], "t": [], "k": [], "s": inline})))
        counters = self.standing.counters
        counters.late, counters.dropped = self.program.context.late_count, self.program.context.dropped_count
        counters.bytes_out += sum(len(body) for _, body in parts)
        self.ended = self.finished and self.failure is None and may_end
        commit = self._commit()
        self._taken = commit, inline
        told = self.standing.cursor if self._stuck is None else None
        return Cut(parts, commit, told and told[1])

    def stored(self, cut: Cut) -> None:
        """Tells a source that a commit is on the log, so that it can acknowledge what it has taken from outside."""
        cursor = cut.cursor
        self.program.committed(msgspec.msgpack.decode(cursor) if isinstance(cursor, msgspec.Raw) else cursor)

    def _state(self) -> bytes | None:
        if self.has_spool:
            return None
        return encode_state(self.intake.state(), self.processing.latest, self.standing.watermark, self.program.context.time_ns)

    def _keeps_secret(self, state: bytes | None) -> bool:
        if self._redaction is None:
            return False
        return self._redaction.is_in(state or b"") or self._redaction.is_in(_pack(self.standing.cursor))

    def _refuse_secret(self) -> None:
        """The commit says why, and is else what the last one was: nothing that holds the secret gets onto the log."""
        self.outbox.rollback(dict.fromkeys(self.outbox.ports, 0))
        self._stuck = self._taken[0] or Commit(epoch=0, number=0)
        what = f"{self.vertex}: the component keeps the value of a secret in its state or cursor, which would be written to the log"
        hint = "a secret is given anew at each start: keep it out of what is kept"
        self.fail(RunFailedError(what, code="secret.kept", hint=hint))

    def _cut_state(self, parts: list[tuple[str, bytes]], state: bytes | None) -> bytes | None:
        """The state when it is small; a large one goes into `parts` when a snapshot is due."""
        if self._stuck is not None:
            return self._taken[1]
        redoing = self.processing.redoing
        if state is None or len(state) <= SMALL_STATE_BYTES:
            self._floor, redoing.is_news = None, False
            return state
        # A rebuild is of the other inputs alone: what was given again must not lie between a floor and the positions.
        is_apart, redoing.is_news = redoing.is_news, False
        if is_apart or self._wants_snapshot or self._schedule.is_due(self._floor is None, sum(edge.taken_messages for edge in self.edges)):
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
        if self._stuck is not None:
            said: dict[str, Any] = {
                "epoch": self.epoch,
                "number": self.number,
                "generation": self.generation,
                "failure": self.failure,
                "taken": [],
            }
            return msgspec.structs.replace(self._stuck, claim=False, **said)
        return Commit(
            epoch=self.epoch,
            number=self.number,
            positions=self.positions,
            floor=self._floor,
            cursor=base64.b64encode(_pack(standing.cursor)).decode() if standing.cursor is not None else None,
            watermark=standing.watermark,
            promise=self._promise(),
            time_ns=self.program.context.time_ns if self.program.component.emits_aside else 0,
            waits_for=self.waits_for,
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
            rewound=self.rewound,
            taken=self.processing.cut_taken(),
            target=self.outbox.target,
        )


def _unreadable(vertex: str, error: Exception) -> RunFailedError:
    """A redeploy may have changed the component so that it does not know its own state again."""
    what = f"{vertex}: the state that it committed cannot be read by what it is now: {error}"
    hint = "undeploy and deploy again, or redeploy the release that wrote it"
    return RunFailedError(what, code="state.unreadable", hint=hint)
