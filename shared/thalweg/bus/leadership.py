"""Which of several coordinators leads: the one that has renewed the lease lately."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress

from nats.aio.client import Client
from nats.errors import Error as NatsError

from thalweg.bus.buckets import Bucket, StaleWriteError
from thalweg.errors import ThalwegError
from thalweg.wire import subjects

RENEW_S = 0.5
TTL_S = 3.0  # without a renewal for so long, another copy takes over
HOLD_S = 2.0  # a leader whose renewal is not confirmed for so long stops leading before another one begins
KEY = "coordinator"


class Leadership:
    """A lease in a key-value bucket. No clocks are compared: each copy times how long the lease has not changed before its own eyes.

    Args:
        client: NATS connection.
        workspace: whose coordinators.
    """

    def __init__(self, client: Client, workspace: str) -> None:
        self._bucket = Bucket(client, subjects.bucket(workspace, "lead"))
        self._name = os.urandom(8)
        self._renewed_at = float("-inf")
        self._seen, self._seen_at, self._revision = -1, 0.0, 0

    @property
    def leads(self) -> bool:
        """Whether this copy leads now."""
        return time.monotonic() - self._renewed_at < HOLD_S

    async def keep(self) -> None:
        """Takes the lease when it is free and renews it, until cancelled; then gives it back."""
        await self._bucket.ensure()
        try:
            while True:
                with suppress(ThalwegError, NatsError, OSError, TimeoutError):
                    await self._try()
                await asyncio.sleep(RENEW_S)
        finally:
            if self.leads:
                self._renewed_at = float("-inf")
                with suppress(ThalwegError, NatsError, OSError, TimeoutError):
                    await self._bucket.put(KEY, b"", self._revision, timeout_s=1.0)

    async def _try(self) -> None:
        asked_at = time.monotonic()
        found = await self._bucket.get(KEY)
        if found.revision != self._seen:
            self._seen, self._seen_at = found.revision, asked_at
        is_free = found.value in (None, b"", self._name) or asked_at - self._seen_at > TTL_S
        if not is_free:
            self._renewed_at = float("-inf")
            return
        try:
            self._revision = await self._bucket.put(KEY, self._name, found.revision, timeout_s=1.0)
        except StaleWriteError:
            return
        self._seen, self._seen_at, self._renewed_at = self._revision, asked_at, asked_at
