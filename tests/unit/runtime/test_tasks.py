"""Ending tasks that lose a cancellation."""

from __future__ import annotations

import asyncio

from thalweg.runtime.tasks import end_tasks


async def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if swallowed == 2:
                    raise
                swallowed += 1

    async def failing() -> None:
        await asyncio.sleep(0)
        raise OSError("gone")

    tasks = [asyncio.create_task(stubborn()), asyncio.create_task(failing())]
    await asyncio.sleep(0.01)
    await asyncio.wait_for(end_tasks(*tasks), 10)
    assert all(task.done() for task in tasks) and swallowed == 2


async def test_no_tasks_are_no_wait() -> None:
    await end_tasks()
