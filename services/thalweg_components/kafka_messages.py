"""Reads a topic of Kafka from given offsets on; loads confluent-kafka."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from thalweg import RejectedError, UnreachableError
from thalweg_components.backoff import Backoff
from thalweg_components.kafka_cluster import Errors, partitions

WAIT_S, LOOK_S = 1.0, 30.0  # for messages; for new partitions
_GONE = frozenset({KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET})


class KafkaMessages:
    """One topic, by no consumer group: where to go on is in the cursor alone.

    Args:
        name: of it, for people.
        topic: name of the topic.
        settings: of the client.
        logger: is told of outages, and of messages that were removed before they were read.
    """

    def __init__(self, name: str, topic: str, settings: dict[str, Any], logger: logging.Logger) -> None:
        self._topic, self._logger = topic, logger
        self._errors, self._backoff = Errors(logger), Backoff(logger, name)
        self._settings = settings | {
            "group.id": "thalweg",  # a name that the client asks for; with offsets assigned by hand it joins no group
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "error_cb": self._errors.heard,
        }
        self._consumer: Any = None
        self.offsets: list[int] = []  # of each partition: the one to go on with

    def read(self, offsets: list[int], *, follow: bool) -> Iterator[Message]:
        """Messages from these offsets on, of partitions that are not in it from their beginning; `offsets` follows what is given.

        Raises:
            RejectedError: there is no such topic, or the cluster lets nobody in.
        """
        self.offsets, self._consumer = list(offsets), Consumer(self._settings, logger=self._logger)
        self._join()
        looked_s, at_end = time.monotonic(), set[int]()
        while follow or len(at_end) < len(self.offsets):
            message = self._consumer.poll(WAIT_S)
            if time.monotonic() - looked_s > LOOK_S:
                self._join()
                looked_s = time.monotonic()
            if message is None:
                continue
            if (error := message.error()) is None:
                self._backoff.worked()
                at_end.discard(message.partition())
                self.offsets[message.partition()] = message.offset() + 1
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                at_end.add(message.partition())
            elif error.code() in _GONE:
                self._begin_anew(message.partition())
            elif not error.retriable() and error.fatal():
                raise RejectedError(error.str(), code="kafka.refused")

    def close(self) -> None:
        """Leaves the cluster."""
        if self._consumer is not None:
            self._consumer.close()
        self._consumer = None

    def _join(self) -> None:
        """Takes partitions up that are new, all at first. Waits until a broker answers."""
        while True:
            try:
                found = partitions(self._consumer, self._topic, self._errors)
                break
            except UnreachableError as error:
                time.sleep(self._backoff.failed(error))
        self._backoff.worked()
        self.offsets += [0] * (len(found) - len(self.offsets))
        known = {one.partition for one in self._consumer.assignment()}
        new = [TopicPartition(self._topic, one, self.offsets[one] or OFFSET_BEGINNING) for one in found if one not in known]
        if new:
            self._consumer.incremental_assign(new)

    def _begin_anew(self, partition: int) -> None:
        """What the cursor says is no longer there: retention has removed it."""
        self._logger.warning(
            "%s [%d]: messages from %d on were removed before they were read", self._topic, partition, self.offsets[partition]
        )
        anew = TopicPartition(self._topic, partition, OFFSET_BEGINNING)  # a partition in this state cannot be sought
        self._consumer.incremental_unassign([anew])
        self._consumer.incremental_assign([anew])
