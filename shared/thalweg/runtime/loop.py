"""Ties an engine to its deployment log: claim, read, work, commit, with the next batch in work while a commit is in flight."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from thalweg.errors import RunFailedError, StaleClaimError, ThalwegError, UnreachableError
from thalweg.runtime.engine import SLICE_S, Cut, Engine, Turn
from thalweg.runtime.inputs import Message
from thalweg.runtime.log import Log, Recovered
from thalweg.runtime.source_steps import SourceSteps
from thalweg.runtime.spool import Spool
from thalweg.wire.commit import Commit, Failure, Generated
from thalweg.wire.rewind import Rewind, is_pending, rewound
from thalweg.wire.subjects import COMMIT_PORT, STATE_PORT
from thalweg.wire.takeover import Takeover

SLOW_S = 4 * SLICE_S  # after a step that took longer, steps run on a thread, so that the connection is served meanwhile
TURNS_TO_SEND = 3  # of the event loop, until a commit is on its way; then the next batch is worked on
MAX_WAITING_BYTES = 4 << 20
UPLOAD_PAUSE_S = 5.0  # the store itself has tried for a minute by then
_log = logging.getLogger("thalweg.vertex")
SAY_WAITING_S = 2.0  # for one edge, with records of others in hand and nothing arriving, until the log is told
_pack = msgspec.msgpack.Encoder().encode
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Left:
    """What a component left in its folder.

    Attributes:
        generated: files that are stored, by slot.
        missing: slots without a file.
        undeclared: what else is there, by path in the folder.
    """

    generated: dict[str, Generated] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    undeclared: list[str] = field(default_factory=list)


Upload = Callable[[], Left]


async def claim(
    log: Log,
    generation: int = 1,
    rewind: Rewind | None = None,
    spool: Spool | None = None,
    fresh_since: int = 0,
    first: Commit | None = None,
) -> Recovered:
    """Takes the vertex over: appends a commit with the next epoch, which fences any older copy out.

    A vertex that has ended, was retired, or failed in this generation or a later one, is not taken over; one that is to go back does so
    with its claim, also from its end. A cursor of a generation before `fresh_since` is left behind. One that has no commit begins with
    `first`, where that is given.

    What is returned is what the log says after the claim: where an older copy writes in between, it is read again.

    Raises:
        RunFailedError: `log.trimmed`, it cannot go back.
    """
    while True:
        found = await log.recover()
        last = found.commit or first or Commit(epoch=0, number=0)
        goes_back = rewind is not None and is_pending(rewind, last)
        if last.retired > generation or (last.ended and not goes_back) or (last.failure is not None and last.generation >= generation):
            return found
        if rewind is not None and goes_back:
            with suppress(StaleClaimError):
                return await _go_back(log, last, rewind, generation, spool)
            continue
        claimed = msgspec.structs.replace(
            last, epoch=last.epoch + 1, number=last.number + 1, claim=True, failure=None, generation=generation, taken=[], retired=0
        )
        if last.generation < fresh_since:
            claimed = msgspec.structs.replace(claimed, cursor=None)
        with suppress(StaleClaimError):
            await log.write([(COMMIT_PORT, _pack({"v": [], "t": [], "k": [], "s": found.inline}))], claimed)
            return Recovered(claimed, found.state)


async def _go_back(log: Log, last: Commit, rewind: Rewind, generation: int, spool: Spool | None) -> Recovered:
    """The spool goes first: killed in between, the next copy goes back again, and finds it as it is to be."""
    then = await log.checkpoint(rewind)
    claimed = rewound(last, then.commit, rewind, generation)
    if spool is not None:
        spool.cut(claimed.positions)
    parts = [(STATE_PORT, then.state)] if claimed.floor is not None and then.state is not None else []
    await log.write([*parts, (COMMIT_PORT, _pack({"v": [], "t": [], "k": [], "s": then.inline}))], claimed)
    return Recovered(claimed, then.state)


async def refuse(log: Log, failure: Failure, generation: int = 1) -> None:
    """Says on the log that a vertex cannot start, so that its deployment fails with the reason and not by a crash loop.

    Nothing is said of one that was retired.
    """
    while True:
        last = (await log.recover()).commit or Commit(epoch=0, number=0)
        if last.retired > generation:
            return
        said = msgspec.structs.replace(
            last, epoch=last.epoch + 1, number=last.number + 1, failure=failure, generation=max(generation, last.generation), taken=[]
        )
        with suppress(StaleClaimError):
            await log.write([(COMMIT_PORT, _pack({"v": [], "t": [], "k": []}))], said)
            return


class VertexLoop:
    """Runs an engine to the end of its inputs.

    Args:
        engine: made for the vertex, not restored yet.
        log: the vertex's view of the deployment log.
        spool: where input messages are kept, for vertices that write generated files.
        upload: stores the generated files, called on a thread after the component has finished.
        generation: of the vertex as deployed.
        rewind: where it is to go back to.
        fresh_since: see `VertexSpec`.
        takeover: what there is to know of retired partitions.
    """

    def __init__(
        self,
        engine: Engine,
        log: Log,
        spool: Spool | None,
        upload: Upload | None,
        generation: int = 1,
        rewind: Rewind | None = None,
        fresh_since: int = 0,
        takeover: Takeover | None = None,
    ) -> None:
        self._takeover = takeover or Takeover()
        self.engine, self.log, self.spool, self.upload = engine, log, spool, upload
        self.engine.generation = self._generation = generation
        self._rewind, self._fresh_since = rewind, fresh_since
        self._is_drained = self._is_ending = False
        self._is_slow = engine.program.is_async
        self._commit: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._waits_for: str | None = None
        self._waits_since = 0.0
        self._is_end_seen = False
        self._source = None if engine.edges else SourceSteps(engine, self)

    def stop(self) -> None:
        """Asks `run` to finish what is in hand, commit it and return; call it on the loop's thread. Idempotent."""
        self._is_stopped = True
        self.wake()

    def drain(self) -> None:
        """Asks a source to end behind the records that it has emitted; call it on the loop's thread. Idempotent."""
        self._is_drained = True
        self.wake()

    def is_asked_to_end(self) -> bool:
        """Whether `stop` or `drain` was called."""
        return self._is_stopped or self._is_drained

    def is_committing(self) -> bool:
        """Whether a commit is in flight."""
        return self._commit is not None

    def wake(self) -> None:
        """Ends `wait`."""
        self.log.arrived.set()

    async def run(self) -> None:
        """Claims the vertex, works until its inputs have ended, it fails or is stopped; `engine.ended` and `.failure` say which.

        Raises:
            FencedOutError: a newer copy runs; nothing more was written.
            RunFailedError: `log.trimmed`, it cannot go back; nothing was written.
        """
        engine = self.engine
        found = await claim(self.log, self._generation, self._rewind, self.spool, self._fresh_since, self._takeover.first)
        if found.commit is not None and (found.commit.ended or found.commit.failure or found.commit.retired > self._generation):
            engine.ended, engine.failure = found.commit.ended or found.commit.retired > 0, found.commit.failure
            return
        engine.take_over(self._takeover)
        await self._on_thread_if(self._is_slow, lambda: engine.restore(found.commit, found.state))
        engine.end_retired(self._takeover)
        try:
            await self._replay()
            await self.log.open({edge.key: self._next_of(edge.key) for edge in engine.read_edges}, self._allows)
            await self._work()
        finally:
            await self._close()

    async def _replay(self) -> None:
        if self.spool is None:
            return
        for message in self.spool.replay():
            self.engine.offer(message)
            while not self._is_done and (turn := await self._step()) is not Turn.IDLE:
                # The end is not committed here: the files come first.
                await self._commit_if(turn is Turn.DUE and not self.engine.finished)
        if self.engine.standing.rebuilding:
            lost = f"{self.engine.vertex}: what it had read is not in its spool {self.spool.path}"
            self.engine.fail(RunFailedError(lost, code="spool.lost", hint="the data folder must outlive the vertex: run it again"))

    def _allows(self, key: str) -> bool:
        """Whether an edge may deliver: it is not far ahead of the others."""
        edge = next(edge for edge in self.engine.read_edges if edge.key == key)
        return edge.head is None or edge.waiting_bytes < MAX_WAITING_BYTES

    def _next_of(self, key: str) -> tuple[int, int]:
        """Where to read an edge from."""
        return next((edge.next_sequence, 0) for edge in self.engine.read_edges if edge.key == key)

    async def _work(self) -> None:
        engine = self.engine
        while True:
            self._take_ready()
            if self._is_drained:
                await self._drain()
            turn = await self._step()
            self._is_end_seen = self._is_done
            is_done = self._is_end_seen or self._is_stopped
            if self._is_stopped:
                engine.want_snapshot()
            if self._is_end_seen and engine.finished and engine.failure is None and self.upload is not None:
                await self._upload(self.upload)
            is_idle = turn is Turn.IDLE and not self._more_ready()
            spare_s, silence_s = engine.spare_s(), self._note_silence(is_idle)
            may_wait = spare_s > 0 or (turn is Turn.SLOW and self._commit is not None and not self._commit.done())
            await self._commit_if(turn is Turn.DUE or is_done or ((is_idle or turn is Turn.SLOW) and not may_wait))
            if is_done:
                await self._settle()
                return
            if is_idle and engine.edges:
                await self.wait(spare_s or silence_s)

    async def _drain(self) -> None:
        """A source ends now; what comes from outside ends behind what is there now."""
        if self.engine.inlet is None:
            self.engine.drain()
        elif not self._is_ending:
            self._is_ending = True
            self.engine.drain_after(await self.log.last_from_outside())

    def _note_silence(self, is_idle: bool) -> float | None:
        """Has the engine say so when one edge keeps it waiting; returns how long until then, None when there is nothing to say."""
        edge = self.engine.blocking_edge() if is_idle else None
        if edge != self._waits_for:
            self._waits_for, self._waits_since = edge, time.monotonic()
        if edge is None or edge == self.engine.waits_for:
            return None
        left_s = self._waits_since + SAY_WAITING_S - time.monotonic()
        if left_s <= 0:
            self.engine.say_waiting(edge)
        return max(0.0, left_s) or None

    async def _upload(self, upload: Upload) -> None:
        """Nothing is given up while the store is away: what was worked out is on this machine alone until it is stored."""
        while True:
            try:
                left = await asyncio.to_thread(upload)
            except UnreachableError as error:
                _log.warning("%s; trying again in %.0f s", error, UPLOAD_PAUSE_S)
                await asyncio.sleep(UPLOAD_PAUSE_S)
            except ThalwegError as error:
                self.engine.fail(error)
                return
            else:
                self.engine.generated, self.engine.missing, self.engine.undeclared = left.generated, left.missing, left.undeclared
                return

    @property
    def _is_done(self) -> bool:
        return self.engine.finished or self.engine.failure is not None

    async def _commit_if(self, is_due: bool) -> None:
        """Begins the next commit, when there is something to commit and the one before it is stored."""
        if not (is_due and self.engine.needs_commit()):
            return
        await self._settle()
        if self.spool is not None:
            self.spool.sync()
        cut = self.engine.cut(may_end=self._is_end_seen)
        self._commit = asyncio.create_task(self._write(cut))
        self._commit.add_done_callback(lambda _: self.log.arrived.set())
        for _ in range(TURNS_TO_SEND):
            await asyncio.sleep(0)

    async def _write(self, cut: Cut) -> None:
        await self.log.write(cut.parts, cut.commit)
        self.engine.stored(cut)

    async def _settle(self) -> None:
        """Waits for the commit in flight, and passes on what stopped it."""
        if self._commit is not None:
            commit, self._commit = self._commit, None
            await commit

    async def wait(self, timeout_s: float | None) -> None:
        """Waits for a message, the end of a commit, or the request to stop."""
        woken = self.log.arrived
        with suppress(TimeoutError):
            await (woken.wait() if timeout_s is None else asyncio.wait_for(woken.wait(), timeout_s))
        woken.clear()
        if self._commit is not None and self._commit.done():
            await self._settle()

    def _take_ready(self) -> None:
        while (ready := self.log.ready()) is not None:
            self._take(ready)

    def _more_ready(self) -> bool:
        self._take_ready()
        return any(edge.head for edge in self.engine.read_edges) and not self._stuck

    _stuck = False

    def _take(self, message: Message) -> None:
        if self.spool is not None:
            self.spool.append(message)
        self.engine.offer(message)
        self._stuck = False

    async def _step(self) -> Turn:
        if self._source is not None:
            return await self._source.step()
        started = time.perf_counter()
        turn = await self._on_thread_if(self._is_slow, self.engine.step)
        self._is_slow = self.engine.program.is_async or time.perf_counter() - started > SLOW_S
        self._stuck = turn is Turn.IDLE  # what is queued now waits for another edge
        if turn is not Turn.IDLE and not self._is_slow:
            await asyncio.sleep(0)
        return turn

    async def _on_thread_if(self, elsewhere: bool, call: Callable[[], R]) -> R:
        if self._source is not None:
            return await self._source.run(call)
        return await asyncio.to_thread(call) if elsewhere else call()

    async def _close(self) -> None:
        if self._commit is not None:
            self._commit.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._commit
        if self.spool is not None:
            self.spool.close()
        if self._source is not None:
            await self._source.close()
        else:
            await asyncio.to_thread(self.engine.program.close)
