"""Publishes to an MQTT broker and waits until it has taken what was sent; loads paho-mqtt."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode

from thalweg_components.mqtt import Broker
from thalweg_components.mqtt_client import Link

_IN_FLIGHT = 200  # messages that the broker has not acknowledged


class Outbox:
    """Messages to one broker, in order.

    Args:
        client: prepared, not connected yet; it sends again what was not acknowledged when a connection broke.
        broker: where it connects to.
        keepalive_s: as MQTT has it.
        logger: is told of outages.
        qos, retain: of all messages.
    """

    def __init__(self, client: paho.Client, broker: Broker, keepalive_s: int, logger: logging.Logger, *, qos: int, retain: bool) -> None:
        self.broker, self._client, self._qos, self._retain = broker, client, qos, retain
        self._taken, self._changed = set[int](), threading.Condition()
        client.max_inflight_messages_set(_IN_FLIGHT)
        client.on_publish = self._published
        self._link = Link(client, broker, keepalive_s, logger)
        self._link.start()

    def publish(self, messages: list[tuple[str, bytes]], deadline: float | None) -> int:
        """Sends topics and payloads until all are taken; how often that was tried.

        Args:
            messages: in their order.
            deadline: of the monotonic clock; None waits for ever.

        Raises:
            TimeoutError: they are not all taken then; which ones are, nobody knows.
            RejectedError: the broker has refused the first connection.
        """
        self._wait_up(deadline)
        before = self._link.connects
        waiting = [self._send(topic, payload, deadline) for topic, payload in messages]
        with self._changed:
            if not self._changed.wait_for(lambda: self._taken.issuperset(waiting), _left_s(deadline)):
                raise TimeoutError
            self._taken.difference_update(waiting)
        return 1 + self._link.connects - before

    def close(self) -> None:
        """Leaves the broker. Idempotent."""
        self._link.close()

    def _wait_up(self, deadline: float | None) -> None:
        if not self._link.wait_up(_left_s(deadline)):
            raise TimeoutError

    def _send(self, topic: str, payload: bytes, deadline: float | None) -> int:
        """Of QoS 0 the client keeps nothing while it is not connected."""
        while True:
            info = self._client.publish(topic, payload, self._qos, self._retain)
            if self._qos or info.rc != MQTTErrorCode.MQTT_ERR_NO_CONN:
                return info.mid
            self._wait_up(deadline)

    def _published(self, client: object, userdata: object, mid: int, *_: Any) -> None:
        with self._changed:
            self._taken.add(mid)
            self._changed.notify_all()


def _left_s(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
