"""Tasks that use a connection end, whatever swallows their cancellation."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from thalweg.bus.connection import cancel_tasks


async def test_tasks_are_cancelled_until_they_have_ended() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1

    async def failing() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        raise ValueError

    tasks = [asyncio.create_task(stubborn()), asyncio.create_task(failing())]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await cancel_tasks(*tasks)
    assert swallowed == 3 and all(one.done() for one in tasks)
