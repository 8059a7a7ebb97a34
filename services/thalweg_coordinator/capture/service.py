"""Captures one deployment, all of it or its last part, for as long as it is there."""

from __future__ import annotations

import asyncio
import logging

from thalweg.bus.captures import CaptureNotes
from thalweg.bus.connection import Client, NatsError, connect_as
from thalweg.bus.deployments import load_deployment, log_state
from thalweg.errors import RejectedError, UnreachableError
from thalweg.runtime.tasks import end_tasks
from thalweg.settings import Settings
from thalweg.wire.capturing import NONE
from thalweg.wire.spec import DeploymentSpec

_log = logging.getLogger("thalweg.capture")
CHECK_S = 2.0


async def capture(settings: Settings, deployment: str) -> None:
    """Returns when it is told what became of the capture, or the deployment is gone.

    Raises:
        UsageError, UnreachableError: as `connect`.
    """
    client = await connect_as(settings, f"{deployment} capture")
    try:
        spec = await _spec(client, settings, deployment)
        if spec is None or spec.capture == NONE or await CaptureNotes(client, spec).result() is not None:
            return
        working = asyncio.create_task(_keep(settings, client, spec))
        watching = asyncio.create_task(_until_unwanted(client, spec))
        try:
            done, _ = await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
        finally:
            await end_tasks(working, watching)
    finally:
        await client.close()


async def _keep(settings: Settings, client: Client, spec: DeploymentSpec) -> None:
    """By one of two ways, the other of which is not even imported: a capture is to begin soon."""
    if spec.capture_last_s:
        from thalweg_coordinator.capture.rings import keep_ring

        await keep_ring(settings, client, spec)
    else:
        from thalweg_coordinator.capture.whole import keep_whole

        await keep_whole(settings, client, spec)


async def _spec(client: Client, settings: Settings, deployment: str) -> DeploymentSpec | None:
    try:
        return await load_deployment(client, settings.workspace, deployment)
    except RejectedError as error:
        if error.code == "deployment.unknown":
            return None
        raise


async def _until_unwanted(client: Client, spec: DeploymentSpec) -> None:
    """Returns when the deployment or its log was gone twice running, or there is another one of that name."""
    gone_count, first_log = 0, ""
    while gone_count < 2:
        await asyncio.sleep(CHECK_S)
        try:
            now = await load_deployment(client, spec.workspace, spec.name)
            state = await log_state(client, spec.workspace, spec.name)
        except RejectedError as error:
            gone_count += error.code == "deployment.unknown"
            continue
        except (UnreachableError, NatsError, OSError, TimeoutError):
            continue
        first_log = first_log or (state[0] if state is not None else "")
        is_same = state is not None and state[0] == first_log and now.deployed_ns == spec.deployed_ns
        gone_count = 0 if is_same else gone_count + 1
    _log.info("nobody wants this capture any more")
