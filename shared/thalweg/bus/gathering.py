"""Gathers what callers send to one input endpoint at the same time into one append: the disk is then waited for once, not by each.

A few are sent at once, each by itself: an atomic batch costs the server as much as a dozen single messages, whatever its size. Only while
so many are on their way do the next ones gather.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from thalweg.bus.connection import Client
from thalweg.bus.inlets import BATCH, PartlyStoredError, publish
from thalweg.errors import ThalwegError, UnreachableError
from thalweg.runtime.tasks import end_tasks

AT_ONCE = 12  # single messages on their way to one endpoint
MAX_BYTES = 1 << 20  # of one append; larger requests go by themselves


@dataclass(eq=False, slots=True)
class Waiting:
    """What one caller sends: some values, all or none of which are stored."""

    bodies: Sequence[bytes]
    stored: asyncio.Future[list[int]]

    @property
    def size_bytes(self) -> int:
        """Of all its values."""
        return sum(map(len, self.bodies))


class Gathering:
    """Publishes to input endpoints.

    Args:
        client: NATS connection.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting: dict[str, deque[Waiting]] = {}
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._single: Counter[str] = Counter()

    async def publish(self, subject: str, bodies: Sequence[bytes], key: str | None = None) -> list[int]:
        """As `publish` of `thalweg.bus.inlets`, together with what others send to the subject meanwhile.

        What has a key goes by itself: one that is known already would have the others of its append refused.

        Raises:
            PartlyStoredError: as there.
        """
        one = Waiting(bodies, asyncio.get_running_loop().create_future())
        if key is not None or len(bodies) > BATCH or one.size_bytes > MAX_BYTES:
            return await publish(self._client, subject, bodies, key)
        if len(bodies) == 1 and subject not in self._sending and self._single[subject] < AT_ONCE:
            return await self._publish_single(subject, bodies)
        self._waiting.setdefault(subject, deque()).append(one)
        if subject not in self._sending:
            self._sending[subject] = asyncio.create_task(self._send_all(subject))
        return await one.stored

    async def _publish_single(self, subject: str, bodies: Sequence[bytes]) -> list[int]:
        self._single[subject] += 1
        try:
            return await publish(self._client, subject, bodies)
        finally:
            self._single[subject] -= 1
            if not self._single[subject]:
                del self._single[subject]

    async def close(self) -> None:
        """Sends no more; who still waits is told that nothing is known."""
        await end_tasks(*self._sending.values())

    async def _send_all(self, subject: str) -> None:
        waiting = self._waiting[subject]
        try:
            while waiting:
                if group := take(waiting):
                    await self._send(subject, group)
        finally:
            del self._waiting[subject], self._sending[subject]
            _refuse(waiting, UnreachableError("the gateway is stopping", code="nats.unreachable"))

    async def _send(self, subject: str, group: list[Waiting]) -> None:
        try:
            sequences = await publish(self._client, subject, [body for one in group for body in one.bodies])
        except PartlyStoredError as partly:  # of one append nothing is
            _refuse(group, partly.error)
        except BaseException:
            _refuse(group, UnreachableError("whether the record is stored is not known", code="nats.unreachable"))
            raise
        else:
            left = iter(sequences)
            for one in group:
                own = [next(left) for _ in one.bodies]
                if not one.stored.done():
                    one.stored.set_result(own)


def _refuse(group: Iterable[Waiting], error: ThalwegError) -> None:
    for one in group:
        if not one.stored.done():
            one.stored.set_exception(PartlyStoredError([], error))


def take(waiting: deque[Waiting]) -> list[Waiting]:
    """Removes the first ones, as many as fit into one append; those whose callers have gone are left out."""
    group, count, size_bytes = list[Waiting](), 0, 0
    while waiting:
        one = waiting[0]
        if group and (count + len(one.bodies) > BATCH or size_bytes + one.size_bytes > MAX_BYTES):
            break
        waiting.popleft()
        if not one.stored.done():
            group.append(one)
            count, size_bytes = count + len(one.bodies), size_bytes + one.size_bytes
    return group
