"""Follows subjects of a deployment log: messages as they are, in the order of the log, from a sequence on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from nats.aio.client import Client

from thalweg.bus.puller import Puller


@dataclass(frozen=True, slots=True)
class Delivered:
    """One message as it was stored; `data` is empty where only headers are followed."""

    subject: str
    sequence: int
    headers: dict[str, str]
    data: bytes


class Follower(Puller[Delivered]):
    """Delivers messages, each once. One that is not asked for its next message holds up to 4 MiB, and then reads no further.

    Args:
        client: NATS connection.
        stream: the deployment log.
        subjects: which; wildcards may be among them.
        start: first sequence to deliver.
        headers_only: leave bodies out.
    """

    def __init__(self, client: Client, stream: str, subjects: list[str], start: int, *, headers_only: bool = False) -> None:
        self._has_more = asyncio.Event()
        super().__init__(client, stream, subjects, start, self._has_more.set, headers_only=headers_only)

    async def next(self) -> Delivered:
        """The next message; waits for one."""
        while not self.arrived:
            self._has_more.clear()
            await self._has_more.wait()
        message = self.arrived.popleft()
        self._taken(len(message.data))
        self.pull_soon()
        return message

    async def has_more(self) -> bool:
        """Whether there is a message on the log that was not given yet, or is on its way."""
        return bool(self.arrived) or await self._is_behind() or bool(self.arrived)

    def _join(self, subject: str, sequence: int, headers: dict[str, str], data: bytes) -> None:
        self._next = sequence + 1
        self._keep(Delivered(subject, sequence, headers, data), len(data))
