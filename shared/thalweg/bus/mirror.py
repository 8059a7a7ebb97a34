"""A key-value bucket as read so far, kept up to date by what is written to it."""

from __future__ import annotations

import asyncio

from nats.aio.client import Client

from thalweg.bus.buckets import OPERATION_HEADER
from thalweg.bus.puller import Puller
from thalweg.bus.streams import call
from thalweg.errors import UnreachableError

OPEN_TIMEOUT_S = 10.0


class Mirror(Puller[str]):
    """All keys of a bucket, in memory. A write is seen some milliseconds after it was acknowledged.

    A key that is purged while the server is away stays here: who removes one, writes first what makes it harmless.

    Args:
        client: NATS connection.
        bucket: its name.
    """

    def __init__(self, client: Client, bucket: str) -> None:
        super().__init__(client, f"KV_{bucket}", [f"$KV.{bucket}.>"], 1, lambda: None)
        self._prefix = f"$KV.{bucket}."
        self._values: dict[str, bytes] = {}
        self._moved = asyncio.Event()

    def get(self, key: str) -> bytes | None:
        """The newest value of a key that has arrived."""
        return self._values.get(key)

    async def load(self) -> None:
        """Begins to read; returns when all is here that was written before.

        Raises:
            UnreachableError: `nats.unreachable`.
        """
        await self.open()
        answer = await call(self._client, f"STREAM.INFO.{self._stream}", {})
        last = int(answer.get("state", {}).get("last_seq", 0))
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                while self._next <= last:
                    self._moved.clear()
                    if not await self._is_behind():
                        return  # what is between is overwritten, or purged
                    await self._moved.wait()
        except TimeoutError as error:
            raise UnreachableError(f"{self._stream} cannot be read", code="nats.unreachable") from error

    def _join(self, subject: str, sequence: int, headers: dict[str, str], data: bytes) -> None:
        self._next = sequence + 1
        key = subject.removeprefix(self._prefix)
        if OPERATION_HEADER in headers:
            self._values.pop(key, None)
        else:
            self._values[key] = data
        self._moved.set()
