"""Saves windows of a ring that are asked for: writes, uploads and records them, and keeps those that triggers made few."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from thalweg.artifacts import Store
from thalweg.artifacts.digests import hex_of
from thalweg.artifacts.records import record_of_window
from thalweg.bus.buckets import Bucket, StaleWriteError
from thalweg.bus.captures import CaptureNotes
from thalweg.bus.connection import Client, NatsError
from thalweg.bus.deployments import load_deployment
from thalweg.errors import ThalwegError
from thalweg.replay.completeness import Completeness
from thalweg.replay.ring import Ring
from thalweg.replay.windows import write_window
from thalweg.settings import Settings
from thalweg.wire import subjects
from thalweg.wire.capturing import Captured, SavedWindow, SaveRequest
from thalweg.wire.spec import DeploymentSpec
from thalweg_coordinator.capture.uploading import replay_path, upload
from thalweg_coordinator.logs_of_backends import LogsOfBackends
from thalweg_coordinator.uses import Uses

if TYPE_CHECKING:
    from thalweg_coordinator.capture.rings import RingKeeper

_log = logging.getLogger("thalweg.capture")
LOOK_S = 0.3
MAX_KEPT = 10  # windows that triggers made; the oldest goes
MAX_NOTED = 20


async def save_window(
    store: Store, path: Path, ring: Ring, spec: DeploymentSpec, cause: str, reason: str | None = None
) -> tuple[Captured, Completeness | None]:
    """Writes and uploads what a ring has now; what became of it."""
    try:
        found = await asyncio.to_thread(write_window, path, ring, spec, cause, reason)
    except OSError as error:
        _log.error("the window cannot be written: %s", error)
        return Captured(reason=f"it cannot be written: {error}", window=True), None
    return await upload(store, path, found, reason), found


class Saving:
    """Serves requests for windows of one ring.

    Args:
        settings: where the file store and the data folder are.
        client: NATS connection.
        spec: what is captured.
        notes: where windows are asked for.
        keeper: of the ring.
    """

    def __init__(self, settings: Settings, client: Client, spec: DeploymentSpec, notes: CaptureNotes, keeper: RingKeeper) -> None:
        self._settings, self._client, self._spec, self._notes, self._keeper = settings, client, spec, notes, keeper
        self._artifacts = Bucket(client, subjects.bucket(spec.workspace, "artifacts"))
        self.is_over = False  # nothing more comes: requests are not kept waiting for it

    async def run(self) -> None:
        """Serves them for as long as it is not cancelled; what cannot be done now is tried again."""
        while True:
            try:
                await self.serve()
                await self._keeper.tell_if_due()
            except (ThalwegError, NatsError, OSError, TimeoutError) as error:
                _log.warning("a window is not saved yet: %s", error)
            await asyncio.sleep(LOOK_S)

    async def serve(self) -> None:
        """Saves what is asked for now.

        Raises:
            ThalwegError, nats.errors.Error, OSError, TimeoutError: a server is away.
        """
        for asked in await self._notes.requests():
            if self.is_over or self._keeper.reached_sequence >= asked.sequence:
                await self._save(asked)

    async def _save(self, asked: SaveRequest) -> None:
        """In this order: the file, its record, the note, and then the request goes: what is broken off is done again."""
        now = await load_deployment(self._client, self._spec.workspace, self._spec.name)
        store = Store.of(self._settings, now.lease)
        path = replay_path(self._settings.data, self._spec.name).with_name("window.mcap")
        captured, found = await save_window(store, path, self._keeper.ring, now, asked.cause, self._keeper.note.failing)
        path.unlink(missing_ok=True)
        saved = SavedWindow(asked.id, asked.cause, asked.by_itself, captured)
        if found is not None and found.window is not None:
            times = {"from_ns": found.window.from_ns, "to_ns": found.window.to_ns}
            saved = msgspec.structs.replace(saved, first=found.first, last=found.last, **times)
        for key, record in record_of_window(now, saved, datetime.now(UTC)).items():
            await self._artifacts.put(key, record.model_dump_json().encode(), None)
        await self._note(now, store, saved)
        await self._notes.settle(asked)
        _log.info("window %s: %s, %s", saved.id, captured.artifact, saved.cause)

    async def _note(self, spec: DeploymentSpec, store: Store, saved: SavedWindow) -> None:
        kept = [one for one in self._keeper.note.saved if one.id != saved.id] + [saved]
        by_itself = [one for one in kept if one.by_itself and one.captured.artifact is not None]
        for old in by_itself[:-MAX_KEPT]:
            await self._remove(spec, store, old)
            kept.remove(old)
        self._keeper.note = msgspec.structs.replace(self._keeper.note, saved=kept[-MAX_NOTED:])
        await self._keeper.tell()

    async def _remove(self, spec: DeploymentSpec, store: Store, old: SavedWindow) -> None:
        """Removes a window that nothing is bound to."""
        artifact = old.captured.artifact or ""
        uses = Uses(self._client, spec.workspace, LogsOfBackends(self._client, spec.workspace))
        is_shared = sum(one.captured.artifact == artifact for one in self._keeper.note.saved) > 1
        if is_shared or await uses.of_file(artifact):
            return
        for key in record_of_window(spec, old, datetime.now(UTC)):
            found = await self._artifacts.get(key)
            try:
                if found.value is not None:
                    await self._artifacts.delete(key, found.revision)
            except StaleWriteError:
                return
        digits = hex_of(artifact)
        if not await self._artifacts.keys(digits) + await self._artifacts.keys(f"{digits}.>"):
            await asyncio.to_thread(store.remove, artifact)
