"""Reconciles what is stored with what runs: logs, vertices, trimming; all state is in JetStream, so any copy can take over."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from dataclasses import dataclass

from thalweg.bus import deployments
from thalweg.bus.connection import Client, NatsError, connect_unless
from thalweg.bus.heads import StoredMessage, read_heads
from thalweg.bus.presence import answer_pings
from thalweg.bus.vertex_log import VertexLog
from thalweg.errors import RejectedError, ThalwegError, UsageError
from thalweg.runtime.loop import refuse
from thalweg.settings import Settings
from thalweg.wire.commit import Commit, Failure
from thalweg.wire.spec import DeploymentSpec
from thalweg_coordinator.processes import ProcessLauncher
from thalweg_coordinator.trimming import latest_commits, plan_trim

_log = logging.getLogger("thalweg.coordinator")
TICK_S = 0.1
FIRST_PAUSE_S, LAST_PAUSE_S = 0.1, 5.0
CRASHES_BEFORE_GIVING_UP = 6
KILLED = (-9, -15)


@dataclass
class Attempts:
    """How often a vertex has ended without being asked, and how far it was then."""

    crashes: int = 0
    records: int = -1
    not_before: float = 0.0


class Coordinator:
    """Takes care of the deployments of a workspace.

    Args:
        settings: where NATS and the data folder are.
        only: name of the one deployment to care for; None for all.
    """

    def __init__(self, settings: Settings, only: str | None) -> None:
        self._settings, self._only = settings, only
        self._launcher = ProcessLauncher(settings.data / "vertices", settings.data / "logs")
        self._attempts: dict[tuple[str, str], Attempts] = {}
        self._trimmed: dict[str, int] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Reconciles a few times a second until `stop` is set. What runs is left running."""
        if self._settings.nats_url is None:
            raise UsageError("THALWEG_NATS_URL is not set", code="settings.missing")
        client = await connect_unless(stop, self._settings.nats_url, "coordinator")
        if client is None:
            return
        try:
            await deployments.ensure_bucket(client, self._settings.workspace)
            if self._only is None:
                await answer_pings(client, self._settings.workspace)
            while not stop.is_set():
                try:
                    await self._reconcile(client)
                except (ThalwegError, NatsError, OSError, TimeoutError) as error:
                    _log.warning("reconcile: %s: %s", type(error).__name__, error)
                try:
                    await asyncio.wait_for(stop.wait(), TICK_S)
                except TimeoutError:
                    continue
        finally:
            await client.close()

    async def _reconcile(self, client: Client) -> None:
        stored = await deployments.list_deployments(client, self._settings.workspace)
        for name in stored if self._only is None else [self._only] if self._only in stored else []:
            try:
                spec = await deployments.load_deployment(client, self._settings.workspace, name)
            except RejectedError:
                continue
            await self._care(client, spec)
        for name in self._launcher.deployments():
            if name not in stored and self._only in (None, name):
                self._launcher.stop(name)
                shutil.rmtree(self._settings.data / "scratch" / name, ignore_errors=True)

    async def _care(self, client: Client, spec: DeploymentSpec) -> None:
        if spec.desired == "stopped":
            self._launcher.stop(spec.name)
            return
        await deployments.create_log(client, spec)
        heads = await read_heads(client, spec.workspace, spec.name)
        commits = latest_commits(heads)
        if any(commit.failure is not None for commit in commits.values()):
            self._launcher.stop(spec.name)
            return
        for vertex in spec.vertices:
            await self._keep_running(client, spec, vertex.name, commits.get(vertex.name))
        await self._trim(client, spec, heads)

    async def _keep_running(self, client: Client, spec: DeploymentSpec, vertex: str, commit: Commit | None) -> None:
        if commit is not None and commit.ended:
            return
        if not self._launcher.knows(spec.name, vertex):
            self._launcher.start(spec.name, vertex)
            return
        code = self._launcher.exit_code(spec.name, vertex)
        if code is None or code == 0:
            return
        attempts = self._attempts.setdefault((spec.name, vertex), Attempts())
        if attempts.not_before == 0.0:
            self._note_death(attempts, code, commit)
            _log.warning("%s/%s ended with %d; restart %d", spec.name, vertex, code, attempts.crashes)
        if attempts.crashes >= CRASHES_BEFORE_GIVING_UP:
            await self._give_up(client, spec, vertex, code)
        elif time.monotonic() >= attempts.not_before:
            attempts.not_before = 0.0
            self._launcher.start(spec.name, vertex)

    def _note_death(self, attempts: Attempts, code: int, commit: Commit | None) -> None:
        """A vertex that was killed, or had got further, starts again at once; one that dies by itself waits longer each time."""
        records = commit.counters.records_in if commit is not None else 0
        attempts.crashes = 1 if code in KILLED or records > attempts.records else attempts.crashes + 1
        attempts.records = records
        pause = 0.0 if code in KILLED else min(FIRST_PAUSE_S * 2**attempts.crashes, LAST_PAUSE_S)
        attempts.not_before = time.monotonic() + max(pause, 1e-6)

    async def _give_up(self, client: Client, spec: DeploymentSpec, vertex: str, code: int) -> None:
        path = self._launcher.log_path(spec.name, vertex)
        last = path.read_text(errors="replace").strip().rsplit("\n", 1)[-1][-300:] if path.exists() else ""
        _log.error("%s/%s crashes again and again", spec.name, vertex)
        log = VertexLog(client, spec.workspace, spec.name, vertex, [], in_arrival_order=False)
        await refuse(
            log,
            Failure(f"{vertex}: ended {CRASHES_BEFORE_GIVING_UP} times with {code} without getting further: {last}", "vertex.crash_loop"),
        )

    async def _trim(self, client: Client, spec: DeploymentSpec, heads: list[StoredMessage]) -> None:
        for subject, sequence in plan_trim(spec, heads):
            if sequence > self._trimmed.get(subject, 0):
                await deployments.purge_below(client, spec.workspace, spec.name, subject, sequence)
                self._trimmed[subject] = sequence
