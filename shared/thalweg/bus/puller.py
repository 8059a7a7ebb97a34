"""Pulls messages of a stream, in order, over an ephemeral consumer that is replaced when it falls silent."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from thalweg.bus.connection import request_json
from thalweg.bus.heads import get_message
from thalweg.runtime.tasks import end_tasks

M = TypeVar("M")
_log = logging.getLogger("thalweg.bus")
DEPTH = 64
PULL_BYTES = 8 << 20  # more than any message: a body is cut into pieces of 4 MiB
BUFFER_BYTES = 4 << 20
SILENCE_S, WATCH_S = 1.0, 0.25
EXPIRES_NS = 30_000_000_000


class Puller(Generic[M]):
    """Delivers what it makes of the messages of some subjects, in the order of the stream, each once, from `start` on.

    nats-py's pull consumers are known to fall silent after a reconnect (nats.py #504, #933). So this one watches itself:
    after a reconnect, or when nothing comes although the log has more, it makes a new consumer where it stopped.

    Args:
        client: NATS connection.
        stream: which stream.
        subjects: which of its subjects; wildcards may be among them.
        start: first sequence to deliver.
        notify: called when an item has arrived.
        headers_only: the server leaves bodies out.
    """

    def __init__(
        self, client: Client, stream: str, subjects: list[str], start: int, notify: Callable[[], None], *, headers_only: bool = False
    ) -> None:
        self._client, self._stream, self._subjects, self._notify = client, stream, subjects, notify
        self._next, self._headers_only = start, headers_only
        self.arrived: deque[M] = deque()
        self.buffered_bytes = self.reopened_count = 0
        self._outstanding = self._delivered = 0
        self._is_lost = False
        self._consumer = ""
        self._subscription: Subscription | None = None
        self._stored_ns = 0
        self._heard_at = time.monotonic()
        self._watcher: asyncio.Task[None] | None = None
        self._asked: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Begins to read; returns when the first consumer exists."""
        await self._reopen()
        self._watcher = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stops reading and lets the server forget the consumer."""
        if self._watcher is not None:
            await end_tasks(self._watcher)
        await self._drop()

    def _taken(self, size_bytes: int) -> None:
        """An item has been taken from `arrived`."""
        self.buffered_bytes -= size_bytes

    def pull_soon(self) -> None:
        """Asks the server for more when few messages are on their way and there is room."""
        if self._outstanding <= DEPTH // 2 and self.buffered_bytes < BUFFER_BYTES and self._subscription is not None:
            self._outstanding += DEPTH
            body = json.dumps({"batch": DEPTH, "expires": EXPIRES_NS, "max_bytes": PULL_BYTES}).encode()
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
            asked = asyncio.create_task(self._publish(subject, body, self._subscription.subject))
            self._asked.add(asked)
            asked.add_done_callback(self._asked.discard)

    async def _publish(self, subject: str, body: bytes, reply: str) -> None:
        try:
            await self._client.publish(subject, body, reply=reply)
        except (NatsError, OSError):
            self._outstanding = 0  # the watcher finds out

    async def _reopen(self) -> None:
        await self._drop()
        self._reset()
        self._outstanding, self._delivered, self._is_lost = 0, 0, False
        inbox = self._client.new_inbox()
        self._subscription = await self._client.subscribe(inbox, cb=self._on_message, pending_msgs_limit=-1, pending_bytes_limit=-1)
        config: dict[str, Any] = {
            "ack_policy": "none",
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": max(self._next, 1),
            "filter_subjects": self._subjects,
            "headers_only": self._headers_only,
            "mem_storage": True,
            "inactive_threshold": 2 * EXPIRES_NS,
        }
        while True:
            # A new name for each try: in a cluster, one that was not answered may be placed on a server that is away, and stay there.
            self._consumer = f"tw{os.urandom(6).hex()}"
            request = {"stream_name": self._stream, "config": {**config, "name": self._consumer}}
            try:
                answer = await request_json(
                    self._client, f"$JS.API.CONSUMER.CREATE.{self._stream}.{self._consumer}", request, timeout_s=2.0
                )
                if "error" not in answer:
                    break
                _log.warning("consumer refused: %s", answer["error"])
            except (NatsError, OSError, TimeoutError):
                pass
            await asyncio.sleep(0.1)
        self._heard_at = time.monotonic()
        self.pull_soon()

    async def _drop(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            return
        try:
            await subscription.unsubscribe()
            if self._client.is_connected:
                await self._client.publish(f"$JS.API.CONSUMER.DELETE.{self._stream}.{self._consumer}", b"")
        except (NatsError, OSError):
            _log.debug("the old consumer is left to expire")

    async def _on_message(self, message: Msg) -> None:
        headers = message.headers or {}
        if self._subscription is None:
            return
        tokens = message.reply.split(".")
        if len(tokens) < 9 or tokens[1] != "ACK":  # what is delivered may have any header, a status too
            self._on_status(headers)
            return
        first = 3 if len(tokens) == 9 else 5  # with a domain and an account in front
        consumer, sequence, delivered = tokens[first], int(tokens[first + 2]), int(tokens[first + 3])
        if consumer != self._consumer or self._is_lost:
            return  # of one that was given up
        if delivered != self._delivered + 1:
            # Behind a gap, or one that counts anew: a server that is started again has forgotten how far its consumers were, and what it
            # sends once it has counted up to here is something else, if the log was trimmed meanwhile.
            self._is_lost = True
            return
        self._delivered, self._heard_at = delivered, time.monotonic()
        self._outstanding -= 1
        self._stored_ns = int(tokens[first + 4])
        self._join(message.subject, sequence, headers, message.data)
        self.pull_soon()

    def _on_status(self, headers: dict[str, str]) -> None:
        if not headers.get("Status"):
            return
        left = int(headers.get("Nats-Pending-Messages", self._outstanding) or 0)
        self._outstanding = max(0, self._outstanding - left)
        if headers["Status"] == "503" or (headers["Status"] == "409" and "Deleted" in headers.get("Description", "")):
            self._is_lost = True  # no such consumer: pulling again would be answered at once, for ever
        else:
            self.pull_soon()

    def _join(self, subject: str, sequence: int, headers: dict[str, str], data: bytes) -> None:
        """Makes an item of a message, and says so by `_keep`; some take several messages."""
        raise NotImplementedError

    def _reset(self) -> None:
        """Forgets what was joined so far: the messages come again."""

    def _keep(self, item: M, size_bytes: int) -> None:
        self.arrived.append(item)
        self.buffered_bytes += size_bytes
        self._notify()

    async def _watch(self) -> None:
        reconnects = self._client.stats["reconnects"]
        while True:
            await asyncio.sleep(WATCH_S)
            if self._client.stats["reconnects"] != reconnects and self._client.is_connected:
                reconnects = self._client.stats["reconnects"]
                await self._reopen_again("the server came back")
            elif self._is_lost:
                await self._reopen_again("the consumer is gone")
            elif not self.arrived and time.monotonic() - self._heard_at > SILENCE_S:
                if await self._is_behind():
                    await self._reopen_again("silent while the log grows")
                self._heard_at = time.monotonic()

    async def _reopen_again(self, why: str) -> None:
        self.reopened_count += 1
        _log.info("new consumer on %s from %d: %s", self._stream, self._next, why)
        await self._reopen()

    async def _is_behind(self) -> bool:
        """Whether the log has a message that nothing was heard of, though it was asked for."""
        next_sequence, delivered = self._next, self._delivered
        return await self._has_next(next_sequence) and (self._next, self._delivered) == (next_sequence, delivered)

    async def _has_next(self, sequence: int) -> bool:
        """Whether the log has a message from a sequence on; the stream's leader says so."""
        for subject in self._subjects:
            if await get_message(self._client, self._stream, {"seq": max(sequence, 1), "next_by_subj": subject}) is not None:
                return True
        return False
