"""Callers that ask one after another, many at once, and look whether each gets its own answer.

    python callers.py nats://127.0.0.1:14222 http --port 8080 --path /convert --callers 10 --count 1000
    python callers.py nats://127.0.0.1:14222 nats --callers 10 --count 1000

HTTP is written and read by hand on kept connections: a client library would take more time than the servers that are measured.
Prints JSON: ms of every call but the first tenth, how many answers were lost (no answer, or an error) and crossed (another's), and
how long all took.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import nats
import uvloop
from nats.aio.client import Client

SUBJECT, TIMEOUT_S = "fsreply.convert", 60.0
Ask = Callable[[bytes], Awaitable[bytes | None]]


@dataclass
class Found:
    """What all callers saw."""

    ms: list[float] = field(default_factory=list)
    lost: int = 0
    crossed: int = 0


class HttpCaller:
    """One connection, on which one request follows the other.

    Args:
        port, path, token: where to, and what opens it.
    """

    def __init__(self, port: int, path: str, token: str) -> None:
        self._port = port
        fields = ["Host: bench", "Content-Type: application/json", *([f"Authorization: Bearer {token}"] if token else [])]
        self._head = "\r\n".join([f"POST {path} HTTP/1.1", *fields, "Content-Length: "]).encode()

    async def open(self) -> None:
        """Connects."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def ask(self, body: bytes) -> bytes | None:
        """The body of the answer; None where it is an error."""
        self._writer.write(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
        answer = await self._reader.readexactly(length)
        return answer if head.split(b" ", 2)[1] in (b"200", b"202") else None


async def call(ask: Ask, first: int, count: int, found: Found, is_answered: bool) -> None:
    """One caller's requests."""
    for number in range(first, first + count):
        reading = {"id": number, "name": "sensor", "value": number * 0.5, "unit": "c", "ok": True, "tags": ["a", "b"], "note": "x" * 80}
        started = time.perf_counter()
        answer = await asyncio.wait_for(ask(json.dumps(reading).encode()), TIMEOUT_S)
        if number - first >= count // 10:
            found.ms.append(1000 * (time.perf_counter() - started))
        if answer is None:
            found.lost += 1
        elif is_answered and not _is_own(json.loads(answer), reading):
            found.crossed += 1


def _is_own(answer: dict[str, Any], reading: dict[str, Any]) -> bool:
    value = answer.pop("value")
    return abs(value - (reading["id"] * 0.9 + 32)) < 1e-6 and answer == {name: own for name, own in reading.items() if name != "value"}


async def main(given: argparse.Namespace) -> None:
    """All callers at once."""
    found, each, asks = Found(), given.count // given.callers, list[Ask]()
    client = await nats.connect(given.url) if given.kind == "nats" else None
    for _ in range(given.callers):
        if client is None:
            caller = HttpCaller(given.port, given.path, given.token)
            await caller.open()
            asks.append(caller.ask)
        else:
            asks.append(lambda body: _reply(client, body))
    started = time.perf_counter()
    await asyncio.gather(*(call(ask, n * each, each, found, not given.accepted_only) for n, ask in enumerate(asks)))
    seconds = time.perf_counter() - started
    print(json.dumps({"ms": found.ms, "lost": found.lost, "crossed": found.crossed, "seconds": seconds, "count": each * given.callers}))
    if client is not None:
        await client.close()


async def _reply(client: Client, body: bytes) -> bytes | None:
    found = await client.request(SUBJECT, body, timeout=TIMEOUT_S, headers={"content-type": "application/json"})
    return bytes(found.data)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("url")
    arguments.add_argument("kind", choices=["http", "nats"])
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--path", default="/")
    arguments.add_argument("--token", default="")
    arguments.add_argument("--callers", type=int, default=1)
    arguments.add_argument("--count", type=int, default=100)
    arguments.add_argument("--accepted-only", action="store_true")
    uvloop.run(main(arguments.parse_args()))
