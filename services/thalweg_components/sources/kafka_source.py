"""kafka-source: records of a topic of Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
from pydantic import Field, model_validator

from thalweg import At, Bad, Context, InputFile, RecordError, Secret, component
from thalweg.graph.types import BYTES, INT, STR, OptionalOf, Record, StreamType
from thalweg_components.extras import needs
from thalweg_components.kafka import KafkaParams
from thalweg_components.payloads import Payloads, check_time_field, time_of
from thalweg_components.type_params import MAX_TYPE, concrete_type

T = TypeVar("T")
MAX_RAW_BYTES = 65_536  # of a payload that does not fit, in its dead letter
_MESSAGE = Record((("key", OptionalOf(BYTES)), ("payload", OptionalOf(BYTES)), ("partition", INT), ("offset", INT)), "Message")


class Params(KafkaParams):
    """What is read, and what it holds."""

    schema_: str | None = Field(
        None, alias="schema", max_length=MAX_TYPE, description="stream type of the payload, as in `record{t: float}`"
    )
    key_field: str | None = Field(None, description="field that the key is added as, as text, where the schema is a record")
    time_field: str | None = Field(None, description="timestamp of the schema that is the event time; without it, the message's own")
    follow: bool = Field(True, description="false: end when all that is there is read")

    @model_validator(mode="after")
    def _fits(self) -> Params:
        kind = self.kind()
        if self.key_field is not None and (self.schema_ is None or not isinstance(kind, Record) or self.key_field in dict(kind.fields)):
            raise ValueError("key_field: the schema must be a record without a field of that name")
        check_time_field(kind, self.time_field)
        return self

    def kind(self) -> StreamType:
        """Type of a payload."""
        return concrete_type(self.schema_) if self.schema_ is not None else _MESSAGE

    def output(self) -> StreamType:
        """Type of what is emitted."""
        kind = self.kind()
        if isinstance(kind, Record) and self.key_field is not None:
            return Record((*kind.fields, (self.key_field, OptionalOf(STR))), kind.name)
        return kind


@component("kafka-source", version="1.0.0", deterministic=False)
class KafkaSource:
    """Reads all partitions of a topic of Kafka.

    **Emits** on `out`, with `schema`, the payload as that type: `str` is UTF-8, `bytes` and `image` (a JPEG or PNG file) are the payload
    itself, all else is JSON; `key_field` adds the key to a record. Without it
    `record{key: bytes?, payload: bytes?, partition: int, offset: int}`.

    **Params**: `brokers` (HOST:PORT), `topic`, `schema`, `key_field`, `time_field`, `follow` (false ends when all that is there is read),
    `tls`, `mechanism` (of SASL). **Secrets**: `user`, `password`. **Files**: `ca` (text), PEM certificates to trust.

    **Times**: the message's own, or `time_field`. Messages of one partition are in order.

    **Faults**: a payload that is not of the type, or none at all (a tombstone), is a faulty record. An outage is waited out. Needs
    `pip install 'thalweg[kafka]'`.

    **Resumes** exactly: the offsets of all partitions are in the commit, and no consumer group has a say. It begins with the oldest
    message that is there; partitions that are added are taken up within half a minute. Messages that retention has removed before they
    were read are told of in the log.
    """

    params: Params
    user: Secret | None
    password: Secret | None
    ca: Annotated[InputFile | None, "text"]
    outputs: ClassVar[dict[str, Any]] = {"out": T}

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """As the schema says."""
        return {"out": params.output()}

    def setup(self, context: Context) -> None:
        """Makes the reader; connects to nothing yet."""
        with needs("kafka"):
            from thalweg_components.kafka_messages import KafkaMessages
        params, settings = self.params, self.params.settings(self.user, self.password, self.ca)
        self._messages = KafkaMessages(params.target(), params.topic, settings, context.logger)
        self._payloads, self._class = Payloads(params.kind()), context.record_class("out")

    def read(self, cursor: list[int] | None) -> Iterator[At[Any] | Bad]:
        """Messages as they come. The cursor has the next offset of each partition."""
        for message in self._messages.read(cursor or [], follow=self.params.follow):
            yield self._item(message, list(self._messages.offsets))

    def close(self) -> None:
        """Leaves the cluster."""
        if hasattr(self, "_messages"):
            self._messages.close()

    def probe(self) -> None:
        """Connects once."""
        with needs("kafka"):
            from thalweg_components.kafka_cluster import probe
        probe(self.params.topic, self.params.settings(self.user, self.password, self.ca))

    def _item(self, message: Any, cursor: list[int]) -> At[Any] | Bad:
        try:
            value = self._value(message)
            return At(value, cursor, time_of(value, self.params.time_field, message.timestamp()[1] * 1_000_000))
        except RecordError as error:
            where = f"partition {message.partition()}, offset {message.offset()}"
            return Bad(RecordError(str(error), where, error.hint), (message.value() or b"")[:MAX_RAW_BYTES], cursor)

    def _value(self, message: Any) -> Any:
        if self.params.schema_ is None:
            return self._class(message.key(), message.value(), message.partition(), message.offset())
        if message.value() is None:
            raise RecordError("it has no payload")
        value = self._payloads.read(message.value())
        if self.params.key_field is None:
            return value
        key = message.key()
        return self._class(*msgspec.structs.astuple(value), None if key is None else key.decode(errors="replace"))
