"""kafka-sink: records of a topic of Kafka."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import Field

from thalweg import Context, InputFile, Receipt, Secret, component
from thalweg_components.deliveries import Deliveries
from thalweg_components.extras import needs
from thalweg_components.fields import check_field
from thalweg_components.files.rows import field_value
from thalweg_components.kafka import KafkaParams
from thalweg_components.payloads import payload_of

T = TypeVar("T")


class Params(KafkaParams):
    """Where records go, and as what."""

    key_field: str | None = Field(None, description="field that is the key, by which Kafka chooses the partition")
    payload_field: str | None = Field(None, description="field that is the payload; without it, the record is")
    give_up_after_s: float | None = Field(None, gt=0, description="of an outage; without it, it is waited out")


@component("kafka-sink", version="1.0.0", deterministic=False)
class KafkaSink:
    """Sends records to a topic of Kafka.

    **Ports**: `in` takes any type; `bytes`, `str` and images (as JPEG or PNG files) are the payload themselves, all else is JSON.
    `receipts` proves what was delivered: partition and offset.

    **Params**: `brokers` (HOST:PORT), `topic`, `key_field`, `payload_field`, `tls`, `mechanism` (of SASL), `give_up_after_s`. **Secrets**:
    `user`, `password`. **Files**: `ca` (text), PEM certificates to trust.

    **Delivery**: every record is acknowledged by all replicas in sync, its id in the header `thalweg-id`. The producer is idempotent,
    so a broken connection doubles nothing by itself; a record may come twice where the vertex is killed before its commit, or where an
    outage lasted longer than 20 s: such have the same `thalweg-id`. An outage is waited out, or ends as a faulty record after
    `give_up_after_s`. The topic has to be there.

    **Faults**: what the cluster refuses (a record that is too large) is a faulty record. Needs `pip install 'thalweg[kafka]'`.
    """

    params: Params
    user: Secret | None
    password: Secret | None
    ca: Annotated[InputFile | None, "text"]

    async def setup(self, context: Context) -> None:
        """Connects, unless the cluster is away."""
        with needs("kafka"):
            from thalweg_components.kafka_topic import KafkaTopic
        params, self._context = self.params, context
        for param, field in (("key_field", params.key_field), ("payload_field", params.payload_field)):
            check_field(context.input_type("in"), field, param)
        topic = KafkaTopic(params.target(), params.topic, params.settings(self.user, self.password, self.ca), context.logger)
        self._deliveries = Deliveries(topic, context, params.give_up_after_s)
        await self._deliveries.begin()

    async def process(self, batch: list[T]) -> list[Receipt]:
        """Sends all, then waits for all."""
        return await self._deliveries.deliver([self._row(one, number) for one, number in zip(batch, self._context.record_ids, strict=True)])

    async def close(self) -> None:
        """Leaves the cluster."""
        if hasattr(self, "_deliveries"):
            await self._deliveries.end()

    def probe(self) -> None:
        """Connects once."""
        with needs("kafka"):
            from thalweg_components.kafka_cluster import probe
        probe(self.params.topic, self.params.settings(self.user, self.password, self.ca))

    def _row(self, record: Any, number: int) -> tuple[int, bytes | None, bytes]:
        params = self.params
        key = None if params.key_field is None else field_value(record, params.key_field)
        payload = payload_of(record if params.payload_field is None else field_value(record, params.payload_field))
        return number, None if key is None else payload_of(key), payload
