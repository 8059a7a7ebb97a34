"""Brings messages from the log to whoever keeps them, and lets the log be trimmed behind what has reached the disk."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Literal, Protocol

from thalweg.bus.captures import CaptureNotes
from thalweg.bus.connection import Client, NatsError
from thalweg.bus.deployments import load_deployment, log_state
from thalweg.bus.holds import Hold
from thalweg.bus.puller import BUFFER_BYTES
from thalweg.bus.raw_reader import RawReader
from thalweg.errors import ThalwegError
from thalweg.wire import subjects
from thalweg.wire.capturing import ALL, captured_subjects
from thalweg.wire.logged import Logged
from thalweg.wire.spec import DeploymentSpec

HOLDER = "capture"
CHECK_S = 1.0  # each look has the disk sync, for which vertices that commit wait too
WANTED_CHECK_S = 0.01
ASK_S = 2.0  # it is told at once, unless the server was away then
MAX_SEQUENCE = 1 << 63
AT_ONCE = 64  # messages between two looks at what else there is to do


class StoppedError(Exception):
    """The capture cannot go on; what it has stays."""


class Keeper(Protocol):
    """Keeps messages on the disk."""

    @property
    def next_sequence(self) -> int:
        """The first sequence that it has not seen."""

    def add(self, message: Logged) -> None:
        """Keeps a message. Raises OSError."""

    def sync(self) -> None:
        """Lets everything so far reach the disk. Blocking, in a thread, while messages are added."""

    def take_over(self, spec: DeploymentSpec) -> None:
        """The deployment is another generation from here on."""

    async def reached(self, sequence: int) -> None:
        """Everything up to there is on the disk, and may be gone from the log once this returns.

        Raises:
            ThalwegError, nats.errors.Error, OSError, TimeoutError: the server is away; asked again later.
        """


class Recording:
    """Records until everything that is wanted is there.

    Ports that a redeploy adds are read from their first message on. Where not all is read, a message is taken only up to a sequence that
    the log had when the spec was still what is read by: behind it there may be messages of a port that nobody asks for yet. The hold
    stays below it as well.

    Args:
        client: NATS connection.
        spec: what is captured.
        notes: say up to where.
        keeper: takes the messages.
    """

    def __init__(self, client: Client, spec: DeploymentSpec, notes: CaptureNotes, keeper: Keeper) -> None:
        self._client, self._spec, self._notes, self._keeper = client, spec, notes, keeper
        self._stirred = asyncio.Event()
        self._is_asked, self._asked_at = False, 0.0
        self._wanted: int | None = None
        self._looked_at = (-1, -1)
        self._bound = 0
        self._filters: set[str] = set()

    async def run(self) -> None:
        """Returns when everything that is wanted is on the disk.

        Raises:
            OSError: the disk does not take more.
            StoppedError: the log is not what it was.
        """
        place = self._spec.workspace, self._spec.name
        hold = Hold(self._client, *place, HOLDER, self._keeper.next_sequence)
        async with self._notes.telling(self._on_wanted), hold:
            self._is_asked = True  # it may have been said before
            while not await self._read(hold):
                self._keeper.take_over(self._spec)

    async def _read(self, hold: Hold) -> bool:
        """Reads what is captured by the spec; False when that has become another one."""
        stream = subjects.stream(self._spec.workspace, self._spec.name)
        self._filters |= {*captured_subjects(self._spec)}  # what a redeploy takes away may have messages that are not read yet
        reader = RawReader(self._client, stream, sorted(self._filters), self._keeper.next_sequence, self._stirred.set)
        await reader.open()
        try:
            while (found := await self._look(reader, hold)) == "more":
                await self._take(reader)
            return found == "all"
        finally:
            await reader.close()

    def _on_wanted(self) -> None:
        self._is_asked = True
        self._stirred.set()

    async def _take(self, reader: RawReader) -> None:
        """Records what comes, for `CHECK_S`, or until a subject may be a quarter full of what is not on the disk."""
        loop = asyncio.get_running_loop()
        end, full = loop.time() + CHECK_S, self._keeper.next_sequence + self._spec.max_messages_per_subject // 4
        while loop.time() < end and self._keeper.next_sequence < full:
            for _ in range(min(AT_ONCE, len(reader.arrived))):
                if reader.arrived[0].sequence > self._bound:
                    break
                self._keeper.add(reader.pop())
            reader.pull_soon()
            is_bound = bool(reader.arrived) and reader.arrived[0].sequence > self._bound
            if reader.arrived and not is_bound:
                await asyncio.sleep(0)
                continue
            if self._is_asked:
                return
            if self._wanted is not None or reader.buffered_bytes > BUFFER_BYTES // 2:
                end = min(end, loop.time() + WANTED_CHECK_S)
            self._stirred.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stirred.wait(), max(0.001, end - loop.time()))

    async def _look(self, reader: RawReader, hold: Hold) -> Literal["more", "all", "another"]:
        """Lets the log go up to what is on the disk; whether that is all that is wanted, or the graph has become another one."""
        try:
            state = await log_state(self._client, self._spec.workspace, self._spec.name)
            has_all = await reader.has_all() and not reader.arrived  # after the log's end was read
            if state is not None and await self._is_another():  # after that as well: see above
                return "another"
            now = asyncio.get_running_loop().time()
            if self._is_asked or now - self._asked_at > ASK_S:
                self._is_asked, self._asked_at, self._wanted = False, now, await self._notes.wanted()
        except (ThalwegError, NatsError, OSError, TimeoutError):
            return "more"  # the server is away
        if state is None:
            raise StoppedError("the log is gone")
        self._bound = state[1] if self._spec.capture != ALL else MAX_SEQUENCE
        up_to = state[1] if has_all else self._keeper.next_sequence - 1
        is_let_go = self._looked_at == (up_to, self._keeper.next_sequence) or await self._let_go(up_to, hold)
        return "all" if is_let_go and self._wanted is not None and up_to >= self._wanted else "more"

    async def _let_go(self, up_to: int, hold: Hold) -> bool:
        """Whether it has gone well. Raises OSError: the disk does not take more."""
        next_sequence = self._keeper.next_sequence
        await asyncio.to_thread(self._keeper.sync)
        try:
            await self._keeper.reached(up_to)
        except (ThalwegError, NatsError, OSError, TimeoutError):
            return False  # the server is away
        hold.advance(up_to + 1)
        self._looked_at = (up_to, next_sequence)
        return True

    async def _is_another(self) -> bool:
        """Whether the deployment has been redeployed since; then it is read by what it is now."""
        now = await load_deployment(self._client, self._spec.workspace, self._spec.name)
        if now.generation == self._spec.generation or now.deployed_ns != self._spec.deployed_ns:
            return False
        self._spec = now
        return True
