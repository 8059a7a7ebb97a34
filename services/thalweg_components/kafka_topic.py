"""Sends records to a topic of Kafka; loads confluent-kafka."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from thalweg import Place, RecordError, UnreachableError
from thalweg_components.kafka_cluster import AWAY, Errors, partitions

ID_HEADER = "thalweg-id"
SEND_TIMEOUT_S = 20.0


class KafkaTopic:
    """A topic as a target; implements `Target`. A row is the record's id, its key and its payload.

    Args:
        name: of it, for people.
        topic: name of the topic.
        settings: of the client.
        logger: gets what the client says.
    """

    def __init__(self, name: str, topic: str, settings: dict[str, Any], logger: logging.Logger) -> None:
        self.name, self._topic, self._logger = name, topic, logger
        limits = {"enable.idempotence": True, "message.timeout.ms": int(SEND_TIMEOUT_S * 1000), "linger.ms": 2}
        self._settings = settings | limits
        self._producer: Producer | None = None
        self._taken: dict[Place, str] = {}  # of a batch that failed: tried again, whole or record by record, only the others are sent

    def open(self) -> None:
        """See `Target.open`."""
        if self._producer is not None:
            return
        errors = Errors(self._logger)
        producer = Producer(self._settings | {"error_cb": errors.heard}, logger=self._logger)
        partitions(producer, self._topic, errors)
        self._producer = producer

    def write(self, rows: list[tuple[int, bytes | None, bytes]], places: list[Place]) -> list[str]:
        """See `Target.write`."""
        producer, failed = self._producer, list[KafkaError]()
        assert producer is not None, "it is opened before"
        try:
            for (number, key, payload), place in zip(rows, places, strict=True):
                if place not in self._taken:
                    self._send(producer, number, key, payload, partial(self._answered, place, failed))
        finally:
            left = producer.flush(SEND_TIMEOUT_S + 5)
        if left:
            raise UnreachableError("no answer in time", code="kafka.unreachable")
        for error in failed:
            if not (error.retriable() or error.code() in AWAY):
                raise RecordError(error.str())
        if failed:
            raise UnreachableError(failed[0].str(), code="kafka.unreachable")
        return [self._taken.pop(one) for one in places]

    def close(self) -> None:
        """See `Target.close`."""
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(0)
        self._producer = None

    def _send(self, producer: Producer, number: int, key: bytes | None, payload: bytes, answered: Any) -> None:
        try:
            producer.produce(self._topic, payload, key, on_delivery=answered, headers={ID_HEADER: b"%016x" % number})
        except (KafkaException, BufferError) as error:
            problem = error.args[0] if isinstance(error, KafkaException) else None
            if problem is None or problem.code() in AWAY:
                raise UnreachableError(str(problem or error), code="kafka.unreachable") from error
            raise RecordError(problem.str()) from error

    def _answered(self, place: Place, failed: list[KafkaError], error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._taken[place] = f"{message.partition()}/{message.offset()}"
        else:
            failed.append(error)
