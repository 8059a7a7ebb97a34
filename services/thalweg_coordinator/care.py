"""Takes care of one deployment: its log exists, its vertices run, what nobody needs is trimmed."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from thalweg.bus import deployments
from thalweg.bus.connection import Client
from thalweg.bus.heads import StoredMessage, latest_commits
from thalweg.bus.vertex_log import VertexLog
from thalweg.bus.watch import LogWatch, Look
from thalweg.errors import RejectedError
from thalweg.runtime.loop import refuse
from thalweg.wire.commit import Commit, Failure
from thalweg.wire.spec import DeploymentSpec
from thalweg_coordinator.processes import ProcessLauncher
from thalweg_coordinator.restarts import CRASHES_BEFORE_GIVING_UP, Attempts, decide_restart, describe_exit
from thalweg_coordinator.stalls import find_stall
from thalweg_coordinator.trimming import plan_trim

STALL_S = 10.0  # nobody has committed anything for so long, before a stall is looked for
_log = logging.getLogger("thalweg.coordinator")

Reveal = Callable[[Mapping[str, str]], Awaitable[dict[str, str]]]


class Care:
    """What the coordinator remembers of one deployment; made anew by a coordinator that takes over.

    Args:
        client: NATS connection.
        launcher: starts and ends its vertices.
        scratch: folder of what its vertices keep beside the log.
        workspace, name: which deployment.
        reveal: values of secrets by slot, given their names by slot.
    """

    def __init__(self, client: Client, launcher: ProcessLauncher, scratch: Path, workspace: str, name: str, reveal: Reveal) -> None:
        self._client, self._launcher, self._scratch, self._name, self._reveal = client, launcher, scratch, name, reveal
        self._watch = LogWatch(client, workspace, name)
        self._log_created = ""
        self._attempts: dict[str, Attempts] = {}
        self._trimmed: dict[str, int] = {}
        self._silence: tuple[int, float] = (0, 0.0)  # the last sequence of the log, and since when

    async def step(self, spec: DeploymentSpec) -> None:
        """Does what the deployment needs now; harmless when it is broken off or repeated."""
        if spec.desired == "stopped":
            await self.stop()
            return
        # Before the log is looked at: the last commit of a vertex that has ended is on it then.
        codes = {one.name: self._exit_code(one.name) for one in spec.vertices if self._launcher.knows(self._name, one.name)}
        look = await self._watch.look() or await self._make_log(spec)
        if look is None:
            return
        if look.created != self._log_created:
            self._log_created, self._silence = look.created, (0, 0.0)
            self._attempts.clear()
            self._trimmed.clear()
        commits = latest_commits(look.heads)
        if any(commit.failure is not None for commit in commits.values()):
            await self.stop()
            return
        for vertex in spec.vertices:
            await self._keep_running(spec, vertex.name, codes, commits.get(vertex.name))
        await self._trim(spec, look.heads)
        if any(commit.waits_for is not None for commit in commits.values()):
            await self._fail_if_stalled(spec, look)

    async def stop(self) -> None:
        """Ends the vertices."""
        self._attempts.clear()
        if self._name in self._launcher.deployments():
            await asyncio.to_thread(self._launcher.stop, self._name)

    async def forget(self) -> None:
        """Ends the vertices of a deployment that is gone, and removes what they kept."""
        await self.stop()
        shutil.rmtree(self._scratch, ignore_errors=True)

    async def _make_log(self, spec: DeploymentSpec) -> Look | None:
        """Makes the log; vertices that still run belong to a former one of that name. None when the deployment is gone too."""
        await self.stop()
        await deployments.create_log(self._client, spec)
        try:
            await deployments.load_deployment(self._client, spec.workspace, spec.name)
        except RejectedError:
            await deployments.delete_log(self._client, spec.workspace, spec.name)
            return None
        look = await self._watch.look()
        if look is not None and look.last_sequence == 0:
            shutil.rmtree(self._scratch, ignore_errors=True)
        return look

    def _exit_code(self, vertex: str) -> int | None:
        return self._launcher.exit_code(self._name, vertex)

    async def _keep_running(self, spec: DeploymentSpec, vertex: str, codes: dict[str, int | None], commit: Commit | None) -> None:
        if commit is not None and commit.ended:
            return
        if not self._launcher.knows(self._name, vertex):
            await self._start(spec, vertex)
            return
        code, attempts = codes.get(vertex), self._attempts.get(vertex, Attempts())
        if code is None:
            return
        if attempts.not_before is None:
            attempts = self._attempts[vertex] = decide_restart(attempts, code, commit, time.monotonic())
            _log.warning("%s/%s %s; restart %d", self._name, vertex, describe_exit(code), attempts.crashes)
        if attempts.is_hopeless:
            await self._give_up(spec, vertex, code)
        elif attempts.not_before is not None and time.monotonic() >= attempts.not_before:
            self._attempts[vertex] = Attempts(attempts.crashes, attempts.progress)
            await self._start(spec, vertex)

    async def _start(self, spec: DeploymentSpec, vertex: str) -> None:
        """Starts a vertex with the secrets that are bound to it; one whose secrets cannot be had says so on the log."""
        mine = next(one for one in spec.vertices if one.name == vertex)
        try:
            secrets = await self._reveal(mine.secrets) if mine.secrets else {}
        except RejectedError as error:
            log = VertexLog(self._client, spec.workspace, spec.name, vertex, [], in_arrival_order=False)
            await refuse(log, Failure(f"{vertex}: {error}", error.code, error.hint))
            return
        self._launcher.start(self._name, vertex, secrets, with_store=bool(mine.files or mine.generated or mine.archive))

    async def _give_up(self, spec: DeploymentSpec, vertex: str, code: int) -> None:
        said = f"{vertex}: died {CRASHES_BEFORE_GIVING_UP} times without getting further: {describe_exit(code)}"
        lines = [said, *(f"  {line}" for line in self._launcher.log_tail(self._name, vertex))]
        _log.error("%s/%s crashes again and again", self._name, vertex)
        await self._refuse(spec, vertex, Failure("\n".join(lines), "vertex.crash_loop"))

    async def _fail_if_stalled(self, spec: DeploymentSpec, look: Look) -> None:
        if look.last_sequence != self._silence[0]:
            self._silence = (look.last_sequence, time.monotonic())
        if time.monotonic() - self._silence[1] < STALL_S:
            return
        self._silence = (look.last_sequence, time.monotonic())  # if it is none, it is looked at again after as long
        stall = find_stall(spec, look.heads, await deployments.count_messages(self._client, spec.workspace, spec.name))
        if stall is not None:
            failure = stall.failure()
            _log.error("%s/%s", self._name, failure.message)
            await self._refuse(spec, stall.vertex, failure)

    async def _refuse(self, spec: DeploymentSpec, vertex: str, failure: Failure) -> None:
        await refuse(VertexLog(self._client, spec.workspace, spec.name, vertex, [], in_arrival_order=False), failure)

    async def _trim(self, spec: DeploymentSpec, heads: list[StoredMessage]) -> None:
        for subject, sequence in plan_trim(spec, heads):
            if sequence > self._trimmed.get(subject, 0):
                await deployments.purge_below(self._client, spec.workspace, spec.name, subject, sequence)
                self._trimmed[subject] = sequence
