"""Looks at all deployments of a workspace at once, for the metrics."""

from __future__ import annotations

import asyncio
import logging
import time

from thalweg.api.deployments import DeploymentStatus
from thalweg.bus.connection import Client, NatsError
from thalweg.bus.deployments import list_deployments
from thalweg.bus.log_stream import dropped_records, stored_bytes
from thalweg.errors import ThalwegError
from thalweg_coordinator.looks import Looks
from thalweg_coordinator.metrics import Snapshot

AT_ONCE = 8
_AWAY = (ThalwegError, NatsError, OSError, TimeoutError)
_log = logging.getLogger("thalweg.coordinator")


async def snapshot(client: Client, workspace: str, looks: Looks, leads: bool) -> Snapshot:
    """What there is now; a deployment that cannot be read is left out, all of them while the server is away."""
    places = asyncio.Semaphore(AT_ONCE)

    async def status(name: str) -> DeploymentStatus | None:
        async with places:
            try:
                return await looks.status(name)
            except _AWAY as error:  # undeployed since, or the server is away
                _log.debug("%s: %s", name, error)
                return None

    try:
        names = await list_deployments(client, workspace)
        found = await asyncio.gather(*(status(name) for name in names))
        dropped, size = await asyncio.gather(dropped_records(client, workspace), stored_bytes(client, workspace))
    except _AWAY as error:
        _log.warning("metrics: the deployments cannot be read: %s", error)
        return Snapshot(time.time_ns(), leads)
    return Snapshot(time.time_ns(), leads, [one for one in found if one is not None], dropped, size)
