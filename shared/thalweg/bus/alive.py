"""A file that is touched as long as a service works: what looks after containers sees by its age whether to start one again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from nats.aio.client import Client

from thalweg.runtime.tasks import end_tasks

BEAT_S = 2.0
ENDED = "ended"


@asynccontextmanager
async def alive(path: Path | None, client: Client) -> AsyncIterator[None]:
    """Within the block, the file is touched every 2 s while the event loop turns and the server is connected; None for no file."""
    if path is None:
        yield
        return
    beating = asyncio.create_task(_beat(path, client))
    try:
        yield
    finally:
        await end_tasks(beating)


def say_ended(path: Path | None) -> None:
    """Leaves word that nothing is to be done any more, which is no reason to start again; None for no file."""
    if path is not None:
        with suppress(OSError):
            path.write_text(ENDED)


async def _beat(path: Path, client: Client) -> None:
    with suppress(OSError):
        await asyncio.to_thread(path.write_text, "")  # an earlier process may have left another word there
    while True:
        if client.is_connected:
            with suppress(OSError):  # a full disk shows by the file's age
                await asyncio.to_thread(path.touch)
        await asyncio.sleep(BEAT_S)
