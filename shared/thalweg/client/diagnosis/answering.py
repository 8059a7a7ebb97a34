"""Bounds how long servers are waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from thalweg.bus.connection import NatsError
from thalweg.errors import UnreachableError

ALL_S = 60.0  # for everything that one block reads


@asynccontextmanager
async def answering(more_s: float = 0.0) -> AsyncIterator[None]:
    """A block that ends within a minute, and `more_s` beside it.

    Raises:
        UnreachableError: `nats.unreachable`, it did not, or the server refused what it asked.
    """
    try:
        async with asyncio.timeout(ALL_S + more_s):
            yield
    except (TimeoutError, NatsError, OSError) as error:
        raise UnreachableError(f"JetStream does not answer: {type(error).__name__}", code="nats.unreachable") from error
