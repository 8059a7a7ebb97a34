"""Reads a deployment log as it was stored: every message by itself, with its headers and its time."""

from __future__ import annotations

from nats.errors import Error as NatsError

from thalweg.bus.connection import is_clustered, request_json
from thalweg.bus.puller import Puller
from thalweg.wire.logged import Logged


class RawReader(Puller[Logged]):
    """Delivers messages without joining what was cut; made as `Puller`."""

    def pop(self) -> Logged:
        """The oldest message that has arrived."""
        message = self.arrived.popleft()
        self._taken(len(message.data))
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
        if int(answer["num_pending"]) or int(answer["delivered"]["consumer_seq"]) != self._delivered:
            return False
        # In a cluster, the consumer may be on a server that lags behind: the leader knows.
        return not is_clustered(self._client) or not await self._has_next(self._next)

    def _join(self, subject: str, sequence: int, headers: dict[str, str], data: bytes) -> None:
        self._next = sequence + 1
        self._keep(Logged(subject, sequence, self._stored_ns, headers, data), len(data))
