"""What clients of a Kafka cluster have in common; loads confluent-kafka."""

from __future__ import annotations

import logging
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from thalweg import RejectedError, UnreachableError

ANSWER_TIMEOUT_S = 8.0
AWAY = frozenset(
    {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._MSG_TIMED_OUT, KafkaError._RESOLVE}
    | {KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT, KafkaError._FATAL}
)
_REFUSED = frozenset(
    {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError.UNSUPPORTED_SASL_MECHANISM, KafkaError._SSL}
)


class Errors:
    """Hears what a client tells of its connections.

    Args:
        logger: gets what it says.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self.refusal: str | None = None

    def heard(self, error: KafkaError) -> None:
        """Called by the client."""
        if error.code() in _REFUSED:
            self.refusal = error.str()
        self._logger.debug("%s", error.str())


def partitions(client: Any, topic: str, errors: Errors) -> list[int]:
    """Connects, and asks for the partitions of a topic. Blocking, up to `ANSWER_TIMEOUT_S`.

    Raises:
        UnreachableError: no broker answers.
        RejectedError: `kafka.refused`, it lets nobody in; `kafka.no_topic`.
    """
    try:
        found = client.list_topics(timeout=ANSWER_TIMEOUT_S).topics.get(topic)  # of all: asked for one alone, brokers may make it
    except KafkaException as error:
        client.poll(0)  # hears of errors
        if errors.refusal is not None:
            raise RejectedError(errors.refusal, code="kafka.refused") from None
        raise UnreachableError(error.args[0].str(), code="kafka.unreachable") from error
    if found is None:
        raise RejectedError(f"there is no topic {topic}", code="kafka.no_topic")
    if found.error is not None:
        raise UnreachableError(found.error.str(), code="kafka.unreachable")
    return sorted(found.partitions)


def probe(topic: str, settings: dict[str, Any]) -> None:
    """Connects once, and asks for a topic. Raises as `partitions`."""
    errors = Errors(logging.getLogger(__name__))
    partitions(Producer(settings | {"error_cb": errors.heard}, logger=logging.getLogger(__name__)), topic, errors)
