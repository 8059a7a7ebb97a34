"""What an MQTT broker has handed out and what of it is acknowledged; loads paho-mqtt."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from paho.mqtt.client import MQTTMessage, topic_matches_sub
from paho.mqtt.reasoncodes import ReasonCode

from thalweg import RejectedError
from thalweg_components.mqtt_client import HoldingClient
from thalweg_components.payloads import now_ns

_LOOK_S = 0.5  # how often a full buffer is looked at for the end


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message, in the order of its arrival; numbers go on over restarts."""

    number: int
    topic: str
    payload: bytes
    is_retained: bool
    arrived_ns: int


@dataclass(slots=True)
class _Handed:
    """A message that the broker waits to see acknowledged; `is_safe` from its commit on."""

    qos: int
    content: int
    is_safe: bool = False


class Inbox:
    """Messages between a broker, which hands them out on the client's thread, and the source, which takes them on its own.

    A broker hands a message out again, and says so, when the connection was lost before it saw the acknowledgement. What is still held
    here is told by its id and its content, and comes once. The id alone does not tell: a broker that was
    killed may give it to another message.

    Args:
        client: not connected yet.
        topics: filters to subscribe to.
        qos: at most.
        buffer: messages that wait for the source; a full one holds the connection up, and with it the broker.
        logger: is told of sessions that are lost.
        with_retained: whether retained messages count.
    """

    def __init__(
        self, client: HoldingClient, topics: list[str], qos: int, buffer: int, logger: logging.Logger, *, with_retained: bool
    ) -> None:
        self._client, self._topics, self._qos, self._with_retained, self._logger = client, topics, qos, with_retained, logger
        self._waiting = queue.Queue[Arrived | RejectedError | None](buffer)
        self._lock = threading.Lock()
        self._handed: dict[int, _Handed] = {}
        self._yielded = deque[tuple[int, int, _Handed]]()  # number and id of what is not committed yet, in order
        self._count, self._is_subscribed, self._is_closed = 0, False, False
        client.on_message, client.on_released, client.on_subscribe = self._arrived, self._released, self._answered

    def begin(self, count: int, *, is_subscribed: bool) -> None:
        """Goes on behind so many messages; the broker may have a session that has these subscriptions already."""
        self._count, self._is_subscribed = count, is_subscribed

    def connected(self, has_session: bool) -> None:
        """On the client's thread. To subscribe again where the broker has not forgotten would bring all retained messages again."""
        if not has_session:
            with self._lock:
                self._handed.clear()
            if self._is_subscribed and self._qos:
                self._logger.warning("the broker has no session of this client: what came while it was away is lost")
        if not (has_session and self._is_subscribed):
            self._client.subscribe([(one, self._qos) for one in self._topics])
            self._is_subscribed = True

    def take(self) -> Arrived | None:
        """The next message; waits for it. None after `close`.

        Raises:
            RejectedError: the broker refuses a subscription (`mqtt.refused`).
        """
        found = self._waiting.get()
        if isinstance(found, RejectedError):
            raise found
        return found

    def acknowledge(self, number: int) -> None:
        """Tells the broker of all messages up to one; on any thread."""
        with self._lock:
            while self._yielded and self._yielded[0][0] <= number:
                _, mid, found = self._yielded.popleft()
                if self._handed.get(mid) is found:
                    self._answer(mid, found)

    def close(self) -> None:
        """Takes in nothing more; what was not acknowledged is handed out again to the next one. Idempotent."""
        self._is_closed = True
        with suppress(queue.Full):  # then nobody waits
            self._waiting.put_nowait(None)

    def _answer(self, mid: int, found: _Handed) -> None:
        found.is_safe = True
        self._client.acknowledge(mid, found.qos)
        if found.qos == 1 and self._client.is_connected():
            del self._handed[mid]  # of QoS 2 the id is taken until the broker releases it; unsent, the message will come again

    def _released(self, mid: int) -> None:
        with self._lock:
            self._handed.pop(mid, None)

    def _arrived(self, client: object, userdata: object, message: MQTTMessage) -> None:
        with self._lock:
            content = hash((message.topic, message.payload))
            found = self._handed.get(message.mid) if message.dup else None
            if found is not None and found.content == content:
                if found.is_safe:
                    self._answer(message.mid, found)
                return
            if not self._is_wanted(message):
                self._client.acknowledge(message.mid, message.qos)
                return
            self._count += 1
            if message.qos:
                self._handed[message.mid] = fresh = _Handed(message.qos, content)
                self._yielded.append((self._count, message.mid, fresh))
            arrived = Arrived(self._count, message.topic, bytes(message.payload), message.retain, now_ns())
        self._put(arrived)

    def _answered(self, client: object, userdata: object, mid: int, granted: list[ReasonCode], properties: object) -> None:
        refused = [topic for topic, code in zip(self._topics, granted, strict=False) if code.is_failure]
        if refused:
            self._put(RejectedError(f"the broker refuses the topic {refused[0]}", code="mqtt.refused", hint="ask for read access to it"))
        elif any(code.value < self._qos for code in granted):
            self._logger.warning("the broker grants less than qos %d: %s", self._qos, ", ".join(map(str, granted)))

    def _put(self, found: Arrived | RejectedError) -> None:
        while not self._is_closed:
            try:
                return self._waiting.put(found, timeout=_LOOK_S)
            except queue.Full:
                continue

    def _is_wanted(self, message: MQTTMessage) -> bool:
        """A session may have subscriptions that this source had once."""
        is_asked = any(topic_matches_sub(one, message.topic) for one in self._topics)
        return is_asked and (self._with_retained or not message.retain)
