"""mqtt-source: messages of an MQTT broker."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
from pydantic import Field, field_validator, model_validator

from thalweg import At, Bad, Context, InputFile, RecordError, Secret, component
from thalweg.graph.types import BOOL, BYTES, STR, Record, StreamType
from thalweg_components.extras import needs
from thalweg_components.mqtt import BrokerParams, check_filter, parse_broker
from thalweg_components.payloads import Payloads, check_time_field, time_of
from thalweg_components.type_params import MAX_TYPE, concrete_type

if TYPE_CHECKING:
    from thalweg_components.mqtt_inbox import Arrived

Value = TypeVar("Value")
MAX_RAW_BYTES = 65_536  # of a message that does not fit, in its dead letter


class Params(BrokerParams):
    """What is subscribed to, and what it holds."""

    topics: list[str] = Field(min_length=1, max_length=256, description="topic filters; + and # are wildcards")
    client_id: str = Field(min_length=1, max_length=256, description="names the session at the broker: one for each running source")
    qos: Literal[0, 1, 2] = Field(1, description="0: what comes while it is away is lost; 1, 2: it is kept by the broker")
    schema_: str | None = Field(None, alias="schema", max_length=MAX_TYPE, description="stream type of a payload, as in `record{t: float}`")
    topic_field: str | None = Field(None, description="field that the topic is added as, where the schema is a record")
    time_field: str | None = Field(None, description="field that is the event time: a timestamp, or an int of UTC ns")
    retained: bool = Field(True, description="whether messages that the broker has retained are taken")
    max_payload_bytes: int = Field(1_048_576, ge=1, le=268_435_455, description="of a message; a larger one is faulty")
    buffer: int = Field(1000, ge=1, le=100_000, description="messages that are held until they can be given on")

    @field_validator("topics")
    @classmethod
    def _are_filters(cls, topics: list[str]) -> list[str]:
        return [check_filter(one) for one in topics]

    @model_validator(mode="after")
    def _fits(self) -> Params:
        kind = self.kind()
        if self.topic_field is not None and (not isinstance(kind, Record) or self.topic_field in dict(kind.fields)):
            raise ValueError("topic_field: the schema must be a record without a field of that name")
        check_time_field(kind, self.time_field)
        return self

    def kind(self) -> StreamType:
        """Type of a payload."""
        return concrete_type(self.schema_) if self.schema_ is not None else BYTES

    def output(self) -> StreamType:
        """Type of what is emitted."""
        kind = self.kind()
        if self.schema_ is None:
            return Record((("topic", STR), ("payload", BYTES), ("retained", BOOL)), "Message")
        if isinstance(kind, Record) and self.topic_field is not None:
            return Record((*kind.fields, (self.topic_field, STR)), kind.name)
        return kind


@component("mqtt-source", version="1.0.0", deterministic=False)
class MqttSource:
    """Messages of an MQTT broker (3.1.1), live.

    **Emits** on `out`, without `schema`, `record{topic: str, payload: bytes, retained: bool}`; with it, the payload as that type: `str` is
    UTF-8, `bytes` and `image` (a JPEG or PNG file) are the payload itself, all else is JSON. `topic_field` adds the topic to a record.

    **Params**: `broker` (URL; `mqtts://` is TLS), `topics` (filters), `client_id`, `qos` (1), `schema`, `topic_field`, `time_field`,
    `retained`, `keepalive_s`, `max_payload_bytes`, `buffer` (messages). **Secrets**: `user`, `password`. **Files**: `ca` (text), PEM
    certificates to trust.

    **Times**: when the message arrived, or `time_field`.

    **Delivery**: a message is acknowledged when its record is on the log. With `qos` 1 or 2 the broker keeps a session under `client_id`
    with what comes while the source is away, so nothing that it takes over is lost, a kill included. A message comes twice where the
    source is killed, or, with `qos` 1, the connection breaks, between the commit and the acknowledgement. With `qos` 0 what is under
    way at a kill or an outage is lost. A broker that forgets its sessions is told of in the log. It hands out no more than its
    own number of messages in flight before a commit: raise that where many come.

    **Faults**: a payload that is not of the type, or too large, is a faulty record. An outage is waited out; a broker that refuses the
    first connection fails the vertex. Needs `pip install 'thalweg[mqtt]'`.
    """

    params: Params
    user: Secret | None
    password: Secret | None
    ca: Annotated[InputFile | None, "text"]

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """As the schema says."""
        return {"out": params.output()}

    def setup(self, context: Context) -> None:
        """Makes the inbox; connects to nothing yet."""
        with needs("mqtt"):
            from thalweg_components.mqtt_client import HoldingClient, Link, prepare
            from thalweg_components.mqtt_inbox import Inbox
        params, broker = self.params, parse_broker(self.params.broker)
        client = HoldingClient(params.client_id, clean_session=params.qos == 0)
        prepare(client, broker, self.user, self.password, self.ca)
        self._inbox = Inbox(client, params.topics, params.qos, params.buffer, context.logger, with_retained=params.retained)
        self._link = Link(client, broker, params.keepalive_s, context.logger, self._inbox.connected)
        self._payloads, self._record_class = Payloads(params.kind()), context.record_class("out")
        self._subscribed = hashlib.sha256(repr((sorted(params.topics), params.qos)).encode()).hexdigest()[:16]

    def read(self, cursor: list[Any] | None) -> Iterator[At[Value] | Bad]:
        """Messages as they come. The cursor counts them; what of them a broker still holds, it gives again."""
        count, subscribed = cursor or (0, "")
        self._inbox.begin(count, is_subscribed=subscribed == self._subscribed)
        self._link.start()
        self._link.wait_up(None)
        while (message := self._inbox.take()) is not None:
            yield self._item(message, [message.number, self._subscribed])

    def committed(self, cursor: list[Any]) -> None:
        """Acknowledges what is on the log."""
        self._inbox.acknowledge(cursor[0])

    def close(self) -> None:
        """Leaves the broker, which keeps the session."""
        if hasattr(self, "_link"):
            self._inbox.close()
            self._link.close()

    def probe(self) -> None:
        """Connects once, without touching the session."""
        with needs("mqtt"):
            from thalweg_components.mqtt_client import HoldingClient, prepare, probe
        broker, client = parse_broker(self.params.broker), HoldingClient("", clean_session=True)
        prepare(client, broker, self.user, self.password, self.ca)
        probe(client, broker, self.params.keepalive_s)

    def _item(self, message: Arrived, cursor: list[Any]) -> At[Any] | Bad:
        try:
            if len(message.payload) > self.params.max_payload_bytes:
                raise RecordError(f"a payload of {len(message.payload):,} bytes is larger than max_payload_bytes")
            value = self._value(message)
            return At(value, cursor, time_of(value, self.params.time_field, message.arrived_ns))
        except RecordError as error:
            where = f"message {message.number} of {message.topic}"
            return Bad(RecordError(str(error), where, error.hint), message.payload[:MAX_RAW_BYTES], cursor)

    def _value(self, message: Arrived) -> Any:
        if self.params.schema_ is None:
            return self._record_class(message.topic, message.payload, message.is_retained)
        value = self._payloads.read(message.payload)
        if self.params.topic_field is None:
            return value
        return self._record_class(*msgspec.structs.astuple(value), message.topic)
