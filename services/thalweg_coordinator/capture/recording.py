"""Brings messages from the log into the recorder, and lets the log be trimmed behind what has reached the disk."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from thalweg.bus.captures import CaptureNotes
from thalweg.bus.connection import Client, NatsError
from thalweg.bus.deployments import log_state
from thalweg.bus.holds import Hold
from thalweg.bus.raw_reader import RawReader
from thalweg.errors import ThalwegError
from thalweg.replay.recorder import Recorder
from thalweg.wire import subjects
from thalweg.wire.capturing import captured_subjects
from thalweg.wire.spec import DeploymentSpec

HOLDER = "capture"
CHECK_S = 1.0  # each look has the disk sync, for which vertices that commit wait too
WANTED_CHECK_S = 0.01
ASK_S = 2.0  # it is told at once, unless the server was away then
AT_ONCE = 64  # messages between two looks at what else there is to do


class StoppedError(Exception):
    """The capture cannot go on; what it has stays."""


class Recording:
    """Records until everything that is wanted is there.

    Args:
        client: NATS connection.
        spec: what is captured.
        notes: say up to where.
        recorder: takes the messages.
    """

    def __init__(self, client: Client, spec: DeploymentSpec, notes: CaptureNotes, recorder: Recorder) -> None:
        self._client, self._spec, self._notes, self._recorder = client, spec, notes, recorder
        self._stirred = asyncio.Event()
        self._is_asked, self._asked_at = False, 0.0
        self._wanted: int | None = None
        self._looked_at = (-1, -1)

    async def run(self) -> None:
        """Returns when everything that is wanted is on the disk.

        Raises:
            OSError: the disk does not take more.
            StoppedError: the log is not what it was.
        """
        place = self._spec.workspace, self._spec.name
        filters = captured_subjects(self._spec)
        reader = RawReader(self._client, subjects.stream(*place), filters, self._recorder.next_sequence, self._stirred.set)
        hold = Hold(self._client, *place, HOLDER, self._recorder.next_sequence)
        async with self._notes.telling(self._on_wanted), hold:
            self._is_asked = True  # it may have been said before
            await reader.open()
            try:
                while not await self._look(reader, hold):
                    await self._take(reader)
            finally:
                await reader.close()

    def _on_wanted(self) -> None:
        self._is_asked = True
        self._stirred.set()

    async def _take(self, reader: RawReader) -> None:
        """Records what comes, for `CHECK_S`, or until a subject may be a quarter full of what is not on the disk."""
        loop = asyncio.get_running_loop()
        end, full = loop.time() + CHECK_S, self._recorder.next_sequence + self._spec.max_messages_per_subject // 4
        while loop.time() < end and self._recorder.next_sequence < full:
            for _ in range(min(AT_ONCE, len(reader.arrived))):
                self._recorder.add(reader.pop())
            reader.pull_soon()
            if reader.arrived:
                await asyncio.sleep(0)
                continue
            if self._is_asked:
                return
            if self._wanted is not None:
                end = min(end, loop.time() + WANTED_CHECK_S)
            self._stirred.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stirred.wait(), max(0.001, end - loop.time()))

    async def _look(self, reader: RawReader, hold: Hold) -> bool:
        """Lets the log go up to what is on the disk; whether that is all that is wanted."""
        try:
            state = await log_state(self._client, self._spec.workspace, self._spec.name)
            has_all = await reader.has_all() and not reader.arrived  # after the log's end was read
            now = asyncio.get_running_loop().time()
            if self._is_asked or now - self._asked_at > ASK_S:
                self._is_asked, self._asked_at, self._wanted = False, now, await self._notes.wanted()
        except (ThalwegError, NatsError, OSError, TimeoutError):
            return False  # the server is away
        if state is None:
            raise StoppedError("the log is gone")
        up_to = state[1] if has_all else self._recorder.next_sequence - 1
        if self._looked_at != (up_to, self._recorder.next_sequence):
            self._looked_at = (up_to, self._recorder.next_sequence)
            self._recorder.flush()
            await asyncio.to_thread(self._recorder.sync)
            hold.advance(up_to + 1)
        return self._wanted is not None and up_to >= self._wanted
