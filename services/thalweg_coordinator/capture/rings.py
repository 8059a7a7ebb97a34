"""Keeps the last part of a deployment's log, saves it where it is asked for, and at the end."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

import msgspec

from thalweg.artifacts import Store
from thalweg.bus.captures import CaptureNotes
from thalweg.bus.connection import Client
from thalweg.bus.deployments import load_deployment
from thalweg.bus.holds import remove_hold
from thalweg.replay.format import decode_headers
from thalweg.replay.ring import Ring
from thalweg.runtime.tasks import end_tasks
from thalweg.settings import Settings
from thalweg.wire.capturing import Captured, RingNote, SaveRequest
from thalweg.wire.logged import Logged
from thalweg.wire.spec import DeploymentSpec
from thalweg_coordinator.capture.recording import HOLDER, Recording, StoppedError
from thalweg_coordinator.capture.saving import Saving, save_window
from thalweg_coordinator.capture.triggers import Triggers
from thalweg_coordinator.capture.uploading import replay_path, until_wanted

_log = logging.getLogger("thalweg.capture")
NOTE_S = 1.0
MAX_TOLD = 200
TRIGGER_PAUSE_NS = 60_000_000_000  # between two windows that are saved by themselves


class RingKeeper:
    """Keeps messages in a ring, and asks for a window where a trigger is set off.

    A trigger is acted on before the hold goes over its message, and noted with how far they have looked: a copy that takes over looks
    at the rest again.

    Args:
        ring: of the log.
        spec: what is captured.
        notes: where windows are asked for.
        note: what a former copy has noted.
    """

    def __init__(self, ring: Ring, spec: DeploymentSpec, notes: CaptureNotes, note: RingNote) -> None:
        self.ring, self.note, self._notes = ring, note, notes
        self.reached_sequence = 0
        self._triggers = Triggers(spec, note.errors, note.told)
        self._due: list[tuple[int, int, str]] = []
        self._noted_at, self._noted_last = 0.0, -1
        for entry in ring.entries(after=note.seen):
            self._look(entry.subject, entry.sequence, entry.time_ns, decode_headers(entry.headers).headers)

    @property
    def next_sequence(self) -> int:
        """As `Keeper`, like all of these."""
        return self.ring.next_sequence

    def add(self, message: Logged) -> None:
        """Keeps a message, and looks whether it sets off a trigger."""
        if message.sequence >= self.ring.next_sequence:
            self.ring.add(message)
            self._look(message.subject, message.sequence, message.time_ns, message.headers)

    def sync(self) -> None:
        """Lets it reach the disk."""
        self.ring.sync()

    def take_over(self, spec: DeploymentSpec) -> None:
        """Expectations and triggers are those of another generation."""
        self._triggers.take_over(spec)

    async def reached(self, sequence: int) -> None:
        """Asks for the windows that are due, and notes how far all is."""
        self.reached_sequence = max(self.reached_sequence, sequence)
        due, is_due = self._due, bool(self._due)
        while due:
            await self._heed(*due[0])
            del due[0]
        if is_due:
            await self.tell()
        await self.tell_if_due()

    async def tell_if_due(self) -> None:
        """Notes how the ring stands, where that has changed since a while ago."""
        if self._noted_last != self.ring.next_sequence and time.monotonic() - self._noted_at >= NOTE_S:
            await self.tell()

    async def tell(self, failing: str | None = None) -> None:
        """Notes how the ring stands."""
        extent, triggers = self.ring.extent(), self._triggers
        self.note = msgspec.structs.replace(
            self.note,
            first=extent.first,
            last=extent.last,
            from_ns=extent.from_ns,
            to_ns=extent.to_ns,
            size_bytes=extent.size_bytes,
            seen=extent.last,
            errors=triggers.errors,
            told=triggers.told[-MAX_TOLD:],
            failing=failing or self.note.failing,
        )
        await self._notes.note(self.note)
        self._noted_at, self._noted_last = time.monotonic(), extent.last + 1

    def _look(self, subject: str, sequence: int, time_ns: int, headers: dict[str, str]) -> None:
        cause = self._triggers.look(subject, headers)
        if cause is not None:
            self._due.append((sequence, time_ns, cause))

    async def _heed(self, sequence: int, time_ns: int, cause: str) -> None:
        if self.note.triggered_ns and time_ns - self.note.triggered_ns < TRIGGER_PAUSE_NS:
            self.note = msgspec.structs.replace(self.note, passed_over=self.note.passed_over + 1)
            return
        await self._notes.request(SaveRequest(f"at-{sequence}", self.note.deployed_ns, sequence, cause, by_itself=True))
        self.note = msgspec.structs.replace(self.note, triggered_ns=time_ns)


async def keep_ring(settings: Settings, client: Client, spec: DeploymentSpec) -> None:
    """Returns when it is told what became of it.

    Raises:
        ThalwegError, nats.errors.Error, OSError: the server is away; another copy goes on.
    """
    notes, path = CaptureNotes(client, spec), replay_path(settings.data, spec.name)
    try:
        keeper = await _open(path.parent / "ring", spec, notes)
    except OSError as error:
        _log.error("nothing can be captured: %s", error)
        await notes.tell(Captured(reason=f"it cannot be written: {error}", window=True))
        await remove_hold(client, spec.workspace, spec.name, HOLDER)
        return
    saving = Saving(settings, client, spec, notes, keeper)
    serving = asyncio.create_task(saving.run())
    reason: str | None = None
    try:
        try:
            await Recording(client, spec, notes, keeper).run()
        except (OSError, StoppedError) as error:
            reason = str(error)
            _log.error("the capture stops here: %s", reason)
            saving.is_over = True
            await keeper.tell(failing=reason)
            await until_wanted(notes)
    finally:
        await end_tasks(serving)
    saving.is_over = True
    await saving.serve()
    now = await load_deployment(client, spec.workspace, spec.name)
    captured, _ = await save_window(Store.of(settings, now.lease), path, keeper.ring, now, "the end of the run", reason)
    await notes.tell(captured)
    _log.info("%s: %d messages, %d bytes, %s", captured.artifact, captured.messages, captured.size_bytes, captured.reason or "a window")


async def _open(folder: Path, spec: DeploymentSpec, notes: CaptureNotes) -> RingKeeper:
    ring = await asyncio.to_thread(Ring, folder, spec.capture_last_s, spec.capture_max_bytes)
    return await asyncio.to_thread(RingKeeper, ring, spec, notes, await notes.ring())
