"""A vertex that something keeps running which does not know its deployment: it heeds the spec by itself."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import suppress

from thalweg.bus.connection import Client, NatsError, raise_if_ended
from thalweg.bus.deployments import log_state, own_deployment
from thalweg.errors import RejectedError, UnreachableError
from thalweg.wire.spec import DeploymentSpec, VertexSpec

CHECK_S = 1.0
CHANGED_EXIT_CODE = 1  # whoever keeps it starts it again
_log = logging.getLogger("thalweg.vertex")


def vertex_of(spec: DeploymentSpec, vertex: str) -> VertexSpec | None:
    """One vertex of a deployment; None where it has none of that name."""
    return next((one for one in spec.vertices if one.name == vertex), None)


def is_replaced(spec: DeploymentSpec, mine: VertexSpec, now: DeploymentSpec | None) -> bool:
    """Whether a vertex is not what it was started as any more; None for a deployment that is gone."""
    if now is None or now.deployed_ns != spec.deployed_ns:
        return True
    found = vertex_of(now, mine.name)
    return found is None or found.generation > mine.generation or found.retired > mine.retired


def is_to_drain(spec: DeploymentSpec, mine: VertexSpec, now: DeploymentSpec) -> bool:
    """Whether a source is to end now, and was not when it was started."""
    return not mine.inputs and now.desired == "draining" and spec.desired != "draining"


async def until_deployed(client: Client, workspace: str, deployment: str, vertex: str) -> None:
    """Waits until the vertex is deployed, and the log is there."""
    _log.info("waiting for vertex %s of deployment %s", vertex, deployment)
    while True:
        spec = await _look(client, workspace, deployment)
        if spec is not None and spec.desired in ("running", "draining") and vertex_of(spec, vertex) is not None:
            with suppress(UnreachableError, NatsError, OSError, TimeoutError):
                if await log_state(client, workspace, deployment) is not None:
                    return
        await asyncio.sleep(CHECK_S)


async def obey(client: Client, spec: DeploymentSpec, mine: VertexSpec) -> None:
    """Asks this process to stop, or to drain, when that is due; for as long as it works."""
    while True:
        await asyncio.sleep(CHECK_S)
        now = await _look(client, spec.workspace, spec.name)
        if now is not None and (is_replaced(spec, mine, now) or is_to_drain(spec, mine, now)):
            os.kill(os.getpid(), signal.SIGTERM)
            return


async def until_replaced(client: Client, spec: DeploymentSpec, mine: VertexSpec, code: int) -> int:
    """Waits, when the vertex has ended, until there is something to do again or this process is asked to leave; its exit code then."""
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    while not asked.is_set():
        if is_replaced(spec, mine, await _look(client, spec.workspace, spec.name)):
            return CHANGED_EXIT_CODE
        with suppress(TimeoutError):
            await asyncio.wait_for(asked.wait(), CHECK_S)
    return code


async def _look(client: Client, workspace: str, deployment: str) -> DeploymentSpec | None:
    """The spec now, or None for a deployment that is gone; waits for a server that is away.

    Raises:
        ShutOutError: as `raise_if_ended`.
    """
    while True:
        raise_if_ended(client)
        try:
            return await own_deployment(client, workspace, deployment)
        except RejectedError as error:
            if error.code == "deployment.unknown":
                return None
            raise
        except (UnreachableError, NatsError, OSError, TimeoutError):
            await asyncio.sleep(CHECK_S)
