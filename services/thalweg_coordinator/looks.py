"""Looks at a deployment as it is now: its spec, the heads of its log, what waits, what its processes use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import msgspec

from thalweg.api.deployments import DeploymentStatus, RingStatus
from thalweg.bus.captures import CaptureNotes
from thalweg.bus.connection import Client
from thalweg.bus.deployments import load_deployment, log_size
from thalweg.bus.heads import StoredMessage, read_heads, read_time
from thalweg.wire import subjects
from thalweg.wire.spec import DeploymentSpec
from thalweg_coordinator.latency import Place, plan_waiting
from thalweg_coordinator.statuses import Usage, describe

MAX_LOOKED_UP = 64  # edges of a deployment whose oldest waiting record is looked up; of others the age is not told


class Looks:
    """Makes statuses.

    Args:
        client: NATS connection.
        workspace: whose deployments.
        usage: what the processes of a deployment use, by vertex, as far as it is known here. Blocking.
    """

    def __init__(self, client: Client, workspace: str, usage: Callable[[str], Mapping[str, Usage]]) -> None:
        self._client, self._workspace, self._usage = client, workspace, usage

    async def status(self, name: str) -> DeploymentStatus:
        """One deployment.

        Raises:
            RejectedError: `deployment.unknown`.
            UnreachableError, nats.errors.Error, TimeoutError: the server is away.
        """
        spec = await load_deployment(self._client, self._workspace, name)
        heads, size = await asyncio.gather(read_heads(self._client, self._workspace, name), log_size(self._client, self._workspace, name))
        waiting, usage = await asyncio.gather(self._waiting(spec, heads), asyncio.to_thread(self._usage, name))
        found = describe(spec, heads, waiting, usage)
        return found.model_copy(update={"log_bytes": size[0], "log_messages": size[1], "ring": await self._ring(spec)})

    async def _ring(self, spec: DeploymentSpec) -> RingStatus | None:
        if not spec.capture_last_s:
            return None
        noted = msgspec.to_builtins(await CaptureNotes(self._client, spec).ring())
        fields = {name: noted[name] for name in RingStatus.model_fields if name in noted}
        return RingStatus(last_s=spec.capture_last_s, max_bytes=spec.capture_max_bytes, triggers=spec.capture_on, **fields)

    async def _waiting(self, spec: DeploymentSpec, heads: list[StoredMessage]) -> dict[str, float]:
        """How long the oldest record waits, by vertex; those of which it is not known are left out."""
        plan = plan_waiting(spec, heads)
        places = sorted({place for found in plan.values() for place in found})[:MAX_LOOKED_UP]
        times = dict(zip(places, await asyncio.gather(*(self._time(spec, place) for place in places)), strict=True))
        now_ns = time.time_ns()
        return {
            vertex: max((max(0.0, (now_ns - at) / 1e9) for place in found if (at := times[place]) is not None), default=0.0)
            for vertex, found in plan.items()
            if all(place in times for place in found)
        }

    async def _time(self, spec: DeploymentSpec, place: Place) -> int | None:
        return await read_time(self._client, subjects.stream(spec.workspace, spec.name), *place)
