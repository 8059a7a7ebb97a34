"""The function of `bench-fahrenheit` behind FastStream's request/reply on bare NATS: nothing is stored.

python faststream_reply.py nats://127.0.0.1:14222
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from faststream.nats import NatsBroker
from pydantic import BaseModel

SUBJECT = "fsreply.convert"


class Reading(BaseModel):
    """One reading."""

    id: int
    name: str
    value: float
    unit: str
    ok: bool
    tags: list[str]
    note: str


async def main(url: str) -> None:
    """Answers until it is ended."""
    broker = NatsBroker(url, logger=None)

    @broker.subscriber(SUBJECT)
    async def convert(reading: Reading) -> Reading:
        return reading.model_copy(update={"value": reading.value * 1.8 + 32})

    await broker.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
