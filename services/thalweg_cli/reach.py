"""Looks at the servers that a command was given, before it starts anything."""

from __future__ import annotations

from thalweg.bus.connection import connect_as
from thalweg.bus.presence import coordinator_answers
from thalweg.settings import Settings


async def reach(settings: Settings) -> bool:
    """Connects to the given NATS server; returns whether a coordinator there takes care of every deployment (as of `thalweg up`).

    Raises:
        UnreachableError: nothing answers.
        UsageError: the URL is none.
    """
    client = await connect_as(settings, "thalweg")
    try:
        return await coordinator_answers(client, settings.workspace)
    finally:
        await client.close()
