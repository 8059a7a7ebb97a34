"""The stream that a replay is played on: viewers have it in order and whole, and the slowest one sets the pace."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from typing import Any

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import APIError

from thalweg.bus import errors
from thalweg.bus.connection import Client
from thalweg.bus.streams import call
from thalweg.errors import NotReproducedError, RejectedError, UnreachableError
from thalweg.runtime.tasks import end_tasks
from thalweg.wire import subjects

MAX_MESSAGES, MAX_BYTES = 1000, 64 << 20  # ahead of the slowest viewer
FULL_PAUSE_S, LOOK_S, FETCH_S = 0.01, 0.1, 0.5
AWAY_S = 30.0
OWN = "playback"  # the consumer that sees what arrives
_FETCHED = 200


class Chain:
    """Digest over messages in order, and how many there were."""

    def __init__(self) -> None:
        self.count, self._digest = 0, bytes(32)

    def add(self, subject: str, body: bytes) -> None:
        """The next message."""
        self.count += 1
        self._digest = sha256(self._digest + subject.encode() + b"\0" + body).digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chain) and (self.count, self._digest) == (other.count, other._digest)

    __hash__ = None  # type: ignore[assignment]


class Stage:
    """One stream to play on; made by `stage`.

    Attributes:
        sent: what was published.
        arrived: what a reader on the stream has seen of it.
    """

    def __init__(self, client: Client, workspace: str, name: str) -> None:
        self._client, self._js = client, client.jetstream()
        self._place = workspace, name
        self._stream = subjects.stream(workspace, name)
        self.sent, self.arrived = Chain(), Chain()

    async def send(self, subject: str, headers: Mapping[str, str], body: bytes) -> None:
        """Publishes a message, once, as soon as the slowest viewer has room for it.

        Args:
            subject: that it was recorded on; it is played on the one that this playback has in its place.
            headers, body: as recorded.

        Raises:
            UnreachableError: the server is away for longer than 30 s.
        """
        subject = subjects.moved(subject, *self._place)
        told = {**headers, "Nats-Msg-Id": str(self.sent.count)}  # a try whose answer was lost is known again
        away_s = 0.0
        while True:
            try:
                await self._js.publish(subject, body, timeout=FETCH_S * 4, stream=self._stream, headers=told)
                break
            except APIError as error:
                if error.err_code != errors.STORE_FAILED:
                    raise UnreachableError(f"{subject} cannot be played: {error.description}", code="play.refused") from error
                await asyncio.sleep(FULL_PAUSE_S)
            except (NatsError, OSError) as error:
                away_s += LOOK_S
                if away_s > AWAY_S:
                    raise UnreachableError(f"the server does not take {subject}: {error}", code="nats.unreachable") from error
                await asyncio.sleep(LOOK_S)
        self.sent.add(subject, body)

    async def viewers(self) -> dict[str, int]:
        """Who views, and how many messages each has still to take."""
        answer = await call(self._client, f"CONSUMER.LIST.{self._stream}", {})
        consumers: list[dict[str, Any]] = answer.get("consumers") or []
        return {one["name"]: one["num_pending"] + one["num_ack_pending"] for one in consumers if one["name"] != OWN}

    async def wait_for(self, count: int, timeout_s: float) -> None:
        """Waits until there are so many viewers. Raises RejectedError (`play.no_viewer`) after `timeout_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while len(await self.viewers()) < count:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_S)
                return
        raise RejectedError(f"there were not {count} viewers in {timeout_s:g} s", code="play.no_viewer")

    async def finish(self, timeout_s: float) -> None:
        """Waits until every viewer has taken all, and compares.

        Raises:
            NotReproducedError: `play.differs`, what arrived is not what was sent; `play.not_taken`, a viewer has not taken all in time.
        """
        left: dict[str, int] = {}
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.arrived.count < self.sent.count or any((left := await self.viewers()).values()):  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_S)
        if self.arrived != self.sent:
            what = f"{self.arrived.count:,} messages arrived of {self.sent.count:,}, or not as they were sent"
            raise NotReproducedError(what, code="play.differs")
        for viewer, count in left.items():
            if count:
                raise NotReproducedError(f"viewer {viewer} has not taken the last {count:,} messages", code="play.not_taken")

    async def open(self) -> asyncio.Task[None]:
        """Begins to take what arrives, for the comparison; ends when it is cancelled. What is sent before it is not there for anyone."""
        config = ConsumerConfig(ack_policy=AckPolicy.ALL, inactive_threshold=300.0)
        viewing = await self._js.pull_subscribe("", durable=OWN, stream=self._stream, config=config)
        return asyncio.ensure_future(self._watch(viewing))

    async def _watch(self, viewing: JetStreamContext.PullSubscription) -> None:
        while True:
            try:
                messages = await viewing.fetch(_FETCHED, timeout=FETCH_S)
            except (NatsError, TimeoutError):
                await asyncio.sleep(0)
                continue
            for message in messages:
                self.arrived.add(message.subject, message.data)
            await messages[-1].ack()


@asynccontextmanager
async def stage(client: Client, workspace: str, name: str) -> AsyncIterator[Stage]:
    """A stream under the subjects that a deployment of that name would have; it is gone afterwards.

    Raises:
        RejectedError: `play.name_taken`, there is such a deployment, or it is played already.
    """
    found = Stage(client, workspace, subjects.check_token("playback", name))
    config = {
        "name": found._stream,
        "description": f"playback {os.urandom(8).hex()}",  # the same stream made twice would be no error
        "subjects": [subjects.everything(workspace, name)],
        "retention": "interest",
        "discard": "new",
        "storage": "memory",
        "max_msgs": MAX_MESSAGES,
        "max_bytes": MAX_BYTES,
        "num_replicas": 1,
    }
    answer = await call(client, f"STREAM.CREATE.{found._stream}", config)
    if "error" in answer:
        why = answer["error"].get("description")
        raise RejectedError(f"nothing can be played as {name}: {why}", code="play.name_taken", hint="--name gives it another name")
    try:
        watching = await found.open()
        try:
            yield found
        finally:
            await end_tasks(watching)
    finally:
        await call(client, f"STREAM.DELETE.{found._stream}", {})
