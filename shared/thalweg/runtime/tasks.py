"""Ends asyncio tasks for sure."""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN_S = 0.2


async def end_tasks(*tasks: asyncio.Future[Any]) -> None:
    """Cancels tasks and returns when they have ended, however; what they raised is not told.

    One cancellation is not enough: `asyncio.wait_for` of Python 3.11 loses it when what it waits for comes at the same moment
    (CPython issue 86296), and nats-py waits so for every reply. A task that goes on for ever would then be waited for likewise.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        ended, left = await asyncio.wait(left, timeout=AGAIN_S)
        for task in ended:
            if not task.cancelled():
                task.exception()  # seen
