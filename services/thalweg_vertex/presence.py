"""Ends a vertex that nobody wants: its deployment or its log is gone, or no server has answered for long."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from thalweg.bus.connection import Client, NatsError, raise_if_ended
from thalweg.bus.deployments import log_state, own_deployment
from thalweg.errors import RejectedError, RunFailedError, ThalwegError, UnreachableError
from thalweg.runtime.tasks import end_tasks
from thalweg.wire.spec import DeploymentSpec

_log = logging.getLogger("thalweg.vertex")
CHECK_S = 2.0
BeforeLeaving = Callable[[], Awaitable[None]]
LOST_S = 120.0  # far longer than any restart of a server; a vertex that ends for this is started again by its coordinator


async def run_while_wanted(client: Client, spec: DeploymentSpec, work: Coroutine[Any, Any, int], before_leaving: BeforeLeaving) -> int:
    """Awaits `work`, a vertex's run, and returns its exit code; leaves the process when the vertex is not wanted any more.

    That is after `before_leaving`, which must not take long. Leaving is not by an exception: a thread of the component may be in a
    call that never returns, and would be waited for.
    """

    async def leave() -> None:
        try:
            await until_unwanted(client, spec)
        except ThalwegError as error:
            _log.error("leaving: %s", error)
            await before_leaving()
            logging.shutdown()
            os._exit(error.exit_code)

    watching = asyncio.create_task(leave())
    try:
        return await work
    finally:
        await end_tasks(watching)


async def until_unwanted(client: Client, spec: DeploymentSpec, check_s: float = CHECK_S, lost_s: float = LOST_S) -> None:
    """Returns never.

    Raises:
        RunFailedError: `deployment.gone`, the spec or the log was gone twice running, or there is another log of that name.
        UnreachableError: `nats.unreachable`, no server has answered for `lost_s`.
        ShutOutError: as `raise_if_ended`.
    """
    heard_at, first_log, gone_count = time.monotonic(), "", 0
    while gone_count < 2:
        await asyncio.sleep(check_s)
        raise_if_ended(client)
        try:
            await own_deployment(client, spec.workspace, spec.name)
            state = await log_state(client, spec.workspace, spec.name)
            first_log = first_log or (state[0] if state is not None else "")
            gone_count = 0 if state is not None and state[0] == first_log else gone_count + 1
            heard_at = time.monotonic()
        except RejectedError as error:
            gone_count += error.code == "deployment.unknown"
        except (UnreachableError, NatsError, OSError, TimeoutError):
            if time.monotonic() - heard_at > lost_s:
                raise UnreachableError(f"no NATS server has answered for {lost_s:g} s", code="nats.unreachable") from None
    raise RunFailedError(f"deployment {spec.name} is gone", code="deployment.gone")
