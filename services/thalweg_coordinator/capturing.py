"""Keeps the capture of a deployment running, and says so where that does not go."""

from __future__ import annotations

import logging
import time

from thalweg.bus.captures import CaptureNotes
from thalweg.bus.connection import Client
from thalweg.bus.holds import hold_of, place_hold, remove_hold
from thalweg.wire.capturing import NONE, Captured
from thalweg.wire.spec import DeploymentSpec
from thalweg_coordinator.launching import Start
from thalweg_coordinator.processes import ProcessLauncher
from thalweg_coordinator.restarts import CRASHES_BEFORE_GIVING_UP, FIRST_PAUSE_S, LAST_PAUSE_S, describe_exit

PROCESS = "_capture"  # no vertex can be called so
HOLDER = "capture"
_log = logging.getLogger("thalweg.coordinator")


class Capturing:
    """What the coordinator remembers of the capture of one deployment.

    Args:
        client: NATS connection.
        launcher: of captures.
        name: of the deployment.
    """

    def __init__(self, client: Client, launcher: ProcessLauncher, name: str) -> None:
        self._client, self._launcher, self._name = client, launcher, name
        self._crashes, self._reached, self._not_before = 0, -1, 0.0
        self._deployed_ns: int | None = None  # of the deployment whose capture is over

    async def keep(self, spec: DeploymentSpec, *, is_fresh: bool) -> None:
        """Starts the capture where it is wanted and does not run.

        Args:
            spec: what runs.
            is_fresh: its log is empty; from now on nothing of it is trimmed before it is captured.
        """
        if spec.capture == NONE or self._deployed_ns == spec.deployed_ns:
            return
        if not self._launcher.knows(self._name, PROCESS):
            if is_fresh:
                await place_hold(self._client, spec.workspace, spec.name, HOLDER, 1)
            self._start()
            return
        code = self._launcher.exit_code(self._name, PROCESS)
        if code == 0 or (code is not None and await CaptureNotes(self._client, spec).result() is not None):
            self._deployed_ns = spec.deployed_ns
        elif code is not None:
            await self._restart(spec, code)

    def stop(self) -> None:
        """Ends the capture; what it has written stays. Blocking."""
        self._crashes, self._reached, self._not_before = 0, -1, 0.0
        if self._name in self._launcher.deployments():
            self._launcher.stop(self._name)

    async def _restart(self, spec: DeploymentSpec, code: int) -> None:
        now = time.monotonic()
        if self._not_before == 0.0:
            reached = await hold_of(self._client, spec.workspace, spec.name, HOLDER) or 0
            self._crashes = 1 if reached > self._reached else self._crashes + 1
            self._reached = max(reached, self._reached)
            self._not_before = now + (0.0 if self._crashes == 1 else min(FIRST_PAUSE_S * 2**self._crashes, LAST_PAUSE_S))
            _log.warning("%s: the capture %s; restart %d", self._name, describe_exit(code), self._crashes)
        if self._crashes >= CRASHES_BEFORE_GIVING_UP:
            tail = "; ".join(self._launcher.log_tail(self._name, PROCESS))
            _log.error("%s: the capture crashes again and again without getting further", self._name)
            await CaptureNotes(self._client, spec).tell(Captured(reason=f"it {describe_exit(code)} again and again: {tail}"))
            await remove_hold(self._client, spec.workspace, spec.name, HOLDER)
            self._deployed_ns = spec.deployed_ns
        elif now >= self._not_before:
            self._start()

    def _start(self) -> None:
        self._not_before = 0.0
        self._launcher.start(Start(self._name, PROCESS))
