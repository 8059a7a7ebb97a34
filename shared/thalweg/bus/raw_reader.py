"""Reads a deployment log as it was stored: every message by itself, with its headers and its time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from thalweg.bus.connection import request_json
from thalweg.bus.reader import Reader
from thalweg.wire.logged import Logged


class RawReader(Reader):
    """As `Reader`, but of subjects that may be wildcards, and without joining what was cut.

    Args:
        client: NATS connection.
        stream: the deployment log.
        filters: subjects, none of which overlaps another.
        start: first sequence to deliver.
        notify: called when a message has arrived.
    """

    def __init__(self, client: Client, stream: str, filters: Iterable[str], start: int, notify: Callable[[], None]) -> None:
        super().__init__(client, stream, {one: [] for one in filters}, start, notify)
        self.logged: deque[Logged] = deque()

    def take(self) -> Logged:
        """The oldest message that has arrived."""
        message = self.logged.popleft()
        self.buffered_bytes -= len(message.data)
        return message

    async def has_all(self) -> bool:
        """Whether everything that the log had when this was called has arrived; False as well where that cannot be told now."""
        if self._subscription is None:
            return False
        consumer = self._consumer
        try:
            answer = await request_json(self._client, f"$JS.API.CONSUMER.INFO.{self._stream}.{consumer}", timeout_s=2.0)
        except (NatsError, OSError, TimeoutError):
            return False
        if "error" in answer or consumer != self._consumer:
            return False
        return int(answer["num_pending"]) == 0 and int(answer["delivered"]["consumer_seq"]) == self._delivered

    def _is_empty(self) -> bool:
        return not self.logged

    def _reads(self, subject: str) -> bool:
        return subject.startswith("tw.")

    def _take(self, message: Msg, sequence: int, headers: dict[str, str]) -> None:
        tokens = message.reply.split(".")
        time_ns = int(tokens[7] if len(tokens) == 9 else tokens[9])
        self._next = sequence + 1
        self.logged.append(Logged(message.subject, sequence, time_ns, headers, message.data))
        self.buffered_bytes += len(message.data)
        self._notify()
