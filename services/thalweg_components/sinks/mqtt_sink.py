"""mqtt-sink: publishes records to an MQTT broker."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import Field, field_validator

from thalweg import Context, InputFile, Receipt, RecordError, Secret, component
from thalweg.graph.types import StreamType
from thalweg_components.extras import needs
from thalweg_components.fields import check_field
from thalweg_components.files.rows import field_value
from thalweg_components.mqtt import BrokerParams, check_topic, parse_broker
from thalweg_components.payloads import payload_of
from thalweg_components.text_template import TextTemplate

if TYPE_CHECKING:
    from thalweg_components.mqtt_outbox import Outbox

T = TypeVar("T")


class Params(BrokerParams):
    """What is published, and where to."""

    topic: str = Field(min_length=1, max_length=4096, description="topic; {…} are expressions over the record, as in `alarms/{station}`")
    qos: Literal[0, 1, 2] = Field(1, description="0: sent once, perhaps lost; 1: at least once; 2: once, also over a broken connection")
    retain: bool = Field(False, description="whether the broker keeps the last message of each topic for later subscribers")
    client_id: str = Field("", max_length=256, description="names the session at the broker; without it each start is a new one")
    payload_field: str | None = Field(None, description="field that is the payload; without it, the record is")
    give_up_after_s: float | None = Field(None, gt=0, description="of an outage; without it, it is waited out")

    @field_validator("topic")
    @classmethod
    def _is_topic(cls, text: str) -> str:
        return text if set("{}") & set(text) else check_topic(text)


@component("mqtt-sink", version="1.0.0", deterministic=False)
class MqttSink:
    """Publishes records to an MQTT broker (3.1.1).

    **Ports**: `in` takes any type; `bytes`, `str` and images (as JPEG or PNG files) are the payload themselves, all else is JSON.
    `receipts` proves what was delivered: the topic, and how often it was sent.

    **Params**: `broker` (URL; `mqtts://` is TLS), `topic`, `qos` (1), `retain`, `client_id`, `payload_field`, `keepalive_s`,
    `give_up_after_s`. **Secrets**: `user`, `password`. **Files**: `ca` (text), PEM certificates to trust.

    **Delivery**: a receipt stands for the broker's acknowledgement, with `qos` 0 for nothing but that it was sent. A record may be
    published again where the vertex is killed before its commit; MQTT 3.1.1 has no place for an id beside the payload.
    Records are published in order. An outage is waited out, or ends as a faulty record after `give_up_after_s`.

    **Faults**: an expression without a value, and a topic with a wildcard or nothing in it, is a faulty record, and nothing of it is sent.
    Needs `pip install 'thalweg[mqtt]'`, expressions also `thalweg[cel]`.
    """

    params: Params
    user: Secret | None
    password: Secret | None
    ca: Annotated[InputFile | None, "text"]

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """Checks the topic and the field; the port is as declared."""
        _template(params, inputs["in"])
        check_field(inputs["in"], params.payload_field, "payload_field")
        return {}

    def setup(self, context: Context) -> None:
        """Makes the template; the first batch connects."""
        self._template = _template(self.params, context.input_type("in"))
        self._context = context
        self._outbox: Outbox | None = None

    def process(self, batch: list[T]) -> list[Receipt]:
        """Publishes all, then waits for all."""
        messages = [(self._topic(record), self._payload(record)) for record in batch]  # before any is sent
        deadline = None if self.params.give_up_after_s is None else time.monotonic() + self.params.give_up_after_s
        outbox = self._opened()
        try:
            attempts = outbox.publish(messages, deadline)
        except TimeoutError as error:
            self.close()  # what waits in it must not be sent behind what comes then
            raise RecordError(f"{outbox.broker.url} has not taken it within {self.params.give_up_after_s:g} s") from error
        return [Receipt(f"{outbox.broker.url}/{topic}", attempts=attempts) for topic, _ in messages]

    def close(self) -> None:
        """Leaves the broker. Idempotent."""
        outbox: Outbox | None = getattr(self, "_outbox", None)
        if outbox is not None:
            outbox.close()
        self._outbox = None

    def probe(self) -> None:
        """Connects once."""
        with needs("mqtt"):
            from thalweg_components.mqtt_client import probe, sender
        broker = parse_broker(self.params.broker)
        probe(sender("", broker, self.user, self.password, self.ca), broker, self.params.keepalive_s)

    def _opened(self) -> Outbox:
        if self._outbox is None:
            with needs("mqtt"):
                from thalweg_components.mqtt_client import sender
                from thalweg_components.mqtt_outbox import Outbox
            params, broker = self.params, parse_broker(self.params.broker)
            client = sender(params.client_id, broker, self.user, self.password, self.ca)
            self._outbox = Outbox(client, broker, params.keepalive_s, self._context.logger, qos=params.qos, retain=params.retain)
        return self._outbox

    def _topic(self, record: Any) -> str:
        topic = self.params.topic if self._template is None else self._template.write(record)
        try:
            return check_topic(topic)
        except ValueError as error:
            raise RecordError(str(error)) from None

    def _payload(self, record: Any) -> bytes:
        return payload_of(record if self.params.payload_field is None else field_value(record, self.params.payload_field))


def _template(params: Params, kind: StreamType) -> TextTemplate | None:
    """None for a topic without expressions."""
    return TextTemplate(params.topic, kind, "") if set("{}") & set(params.topic) else None
