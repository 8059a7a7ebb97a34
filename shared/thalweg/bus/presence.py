"""Whether a coordinator takes care of every deployment of a workspace: it answers a ping."""

from __future__ import annotations

import asyncio

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from thalweg.wire import subjects

_PING_TIMEOUT_S = 1.0


async def answer_pings(client: Client, workspace: str) -> None:
    """Answers for as long as the connection lives."""

    async def answer(message: Msg) -> None:
        await message.respond(b"")

    await client.subscribe(subjects.api(workspace, "coordinator", "ping"), cb=answer)


async def coordinator_answers(client: Client, workspace: str) -> bool:
    """Whether one answers now."""
    try:
        await client.request(subjects.api(workspace, "coordinator", "ping"), b"", timeout=_PING_TIMEOUT_S)
    except (NatsError, TimeoutError):
        return False
    return True


async def wait_for_coordinator(client: Client, workspace: str, timeout_s: float) -> bool:
    """Whether one answers within `timeout_s`."""
    end = asyncio.get_running_loop().time() + timeout_s
    while not await coordinator_answers(client, workspace):
        if asyncio.get_running_loop().time() > end:
            return False
        await asyncio.sleep(0.05)
    return True
