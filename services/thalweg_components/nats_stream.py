"""Reads a stream of another NATS server from a sequence on, each message once; or follows a subject there."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Literal

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from thalweg import RecordError
from thalweg_components.backoff import Backoff

BATCH, FETCH_TIMEOUT_S, API_TIMEOUT_S = 256, 2.0, 5.0
UNUSED_S = 60.0
_Fault = (NatsError, OSError, TimeoutError)


class _LostError(Exception):
    """The consumer is gone, or has left a gap."""


class StreamReader:
    """Reads by ephemeral consumers without acknowledgements: each takes over where the last message was.

    Args:
        client: a connection that heals itself.
        stream, subject: what to read; all subjects without one.
        backoff: of the server.
        logger: is told what was lost.
    """

    def __init__(self, client: Client, stream: str, subject: str | None, backoff: Backoff, logger: logging.Logger) -> None:
        self._js, self._stream, self._subject = client.jetstream(timeout=API_TIMEOUT_S), stream, subject
        self._backoff, self._logger = backoff, logger
        self._start: Literal["all", "new"] | int = "all"
        self._next: int | None = None

    async def read(self, cursor: int | None, start: Literal["all", "new"] | int) -> AsyncIterator[tuple[int, int, Msg]]:
        """(sequence, UTC ns at which it was stored, message), from behind the cursor on; without one, from `start` on.

        Raises:
            RecordError: the stream is another one than that which was read before.
        """
        self._next, self._start = (cursor + 1 if cursor is not None else None), start
        while True:
            try:
                async for found in self._from_consumer():
                    yield found
            except (_LostError, *_Fault) as error:
                await asyncio.sleep(self._backoff.failed(error))

    async def _from_consumer(self) -> AsyncIterator[tuple[int, int, Msg]]:
        subscription, name = await self._open()
        delivered = 0
        try:
            while True:
                try:
                    messages = await subscription.fetch(BATCH, timeout=FETCH_TIMEOUT_S)
                except TimeoutError:
                    await self._check(name, delivered)
                    continue
                self._backoff.worked()
                for message in messages:
                    place = message.metadata
                    if place.sequence.consumer != delivered + 1:
                        raise _LostError("a message was lost on its way")
                    delivered += 1
                    self._next = place.sequence.stream + 1
                    yield place.sequence.stream, int(place.timestamp.timestamp() * 1_000_000) * 1000, message
        finally:
            with suppress(*_Fault):
                await subscription.unsubscribe()
            with suppress(*_Fault):
                await self._js.delete_consumer(self._stream, name)

    async def _open(self) -> tuple[JetStreamContext.PullSubscription, str]:
        state = (await self._js.stream_info(self._stream)).state
        if self._next is not None and self._next > state.last_seq + 1:
            what = f"stream {self._stream} ends at {state.last_seq}, and was read up to {self._next - 1}: it was made anew"
            raise RecordError(what, hint="deploy under another name to read it from its beginning")
        if self._next is None:
            self._next = {"all": 1, "new": state.last_seq + 1}[self._start] if isinstance(self._start, str) else self._start
        elif self._next < state.first_seq:
            self._logger.warning("stream %s: messages %d to %d are gone, unread", self._stream, self._next, state.first_seq - 1)
        name = f"thalweg-{os.urandom(8).hex()}"
        config = ConsumerConfig(
            name=name,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=max(self._next, 1),
            ack_policy=AckPolicy.NONE,
            filter_subject=self._subject,
            inactive_threshold=UNUSED_S,
            mem_storage=True,
        )
        await self._js.add_consumer(self._stream, config)
        return await self._js.pull_subscribe_bind(consumer=name, stream=self._stream), name

    async def _check(self, name: str, delivered: int) -> None:
        """After silence: is the consumer there still, and has it sent nothing that did not come?"""
        try:
            info = await self._js.consumer_info(self._stream, name)
        except NotFoundError:
            raise _LostError("the consumer is gone") from None
        if info.delivered is not None and info.delivered.consumer_seq > delivered:
            raise _LostError("messages were lost on their way")


async def follow_subject(client: Client, subject: str, queue: str, buffer: int, logger: logging.Logger) -> AsyncIterator[Msg]:
    """Messages of a subject from now on; what comes while `buffer` wait is dropped, and told."""
    subscription = await client.subscribe(subject, queue=queue, pending_msgs_limit=buffer, pending_bytes_limit=-1)
    slow = 0
    async for message in subscription.messages:
        if client.stats.get("errors_received", 0) > slow:
            slow = client.stats["errors_received"]
            logger.warning("%s: more messages came than could be held: some are lost", subject)
        yield message
