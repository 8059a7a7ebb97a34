"""redis-sink: entries of streams and lists, values of keys, messages of channels of a Redis server."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from thalweg import Context, Receipt, RecordError, Secret, component
from thalweg_components.deliveries import Deliveries
from thalweg_components.extras import needs
from thalweg_components.fields import check_field
from thalweg_components.files.rows import field_value
from thalweg_components.payloads import payload_of
from thalweg_components.text_template import TextTemplate

T = TypeVar("T")


class Params(BaseModel):
    """Where records go, and as what."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(min_length=1, max_length=1024, description="of the stream, list, value or channel; expressions in {…}")
    kind: Literal["stream", "list", "value", "channel"] = Field("stream", description="XADD, RPUSH, SET or PUBLISH")
    payload_field: str | None = Field(None, description="field that is the payload; without it, the record is")
    max_entries: int | None = Field(None, ge=1, description="of a stream: about so many are kept, the oldest go")
    expire_s: int | None = Field(None, ge=1, le=315_360_000, description="of a value: it goes after so long, seconds")
    give_up_after_s: float | None = Field(None, gt=0, description="of an outage; without it, it is waited out")

    @model_validator(mode="after")
    def _fits(self) -> Params:
        if self.max_entries is not None and self.kind != "stream":
            raise ValueError("max_entries: only of a stream")
        if self.expire_s is not None and self.kind != "value":
            raise ValueError("expire_s: only of a value")
        return self


@component("redis-sink", version="1.0.0", deterministic=False)
class RedisSink:
    """Writes records to a Redis or Valkey server, each exactly once.

    **Ports**: `in` takes any type; `bytes`, `str` and images (as JPEG or PNG files) are the payload themselves, all else is JSON.
    `receipts` proves what was delivered, with its place on the log.

    **Params**: `key` (with expressions in `{…}`), `kind` (`stream`: an entry with the fields `id`, the record's id, and `payload`; `list`;
    `value`; `channel`), `payload_field`, `max_entries`, `expire_s`, `give_up_after_s`. **Secrets**: `url`, as in
    `redis://user:password@host:6379/0`.

    **Delivery**: a script writes each record with the last place of its edge, in the hash `thalweg:places:…`, as one step: a restart of the
    vertex writes nothing twice, and an older copy of it can no longer write once a newer one has begun. Redis keeps what it has said only
    as `appendfsync` says, and messages of channels reach who listens then. The keys have to be on one node: no cluster.
    An outage is waited out, or ends as a faulty record after `give_up_after_s`.

    **Faults**: a key that holds something else is a faulty record. Needs `pip install 'thalweg[redis]'`, expressions also `thalweg[cel]`.
    """

    params: Params
    url: Secret

    async def setup(self, context: Context) -> None:
        """Connects, unless the server is away."""
        with needs("redis"):
            from thalweg_components.redis_keys import RedisKeys
        params, self._context = self.params, context
        check_field(context.input_type("in"), params.payload_field, "payload_field")
        self._template = TextTemplate(params.key, context.input_type("in"), "") if set("{}") & set(params.key) else None
        self._deliveries = Deliveries(RedisKeys(self.url, params.key, context), context, params.give_up_after_s)
        await self._deliveries.begin()

    async def process(self, batch: list[T]) -> list[Receipt]:
        """Writes the records in one step."""
        return await self._deliveries.deliver([self._row(one, number) for one, number in zip(batch, self._context.record_ids, strict=True)])

    async def close(self) -> None:
        """Closes the connection."""
        if hasattr(self, "_deliveries"):
            await self._deliveries.end()

    def probe(self) -> None:
        """Connects once."""
        with needs("redis"):
            from thalweg_components.redis_connection import greet, make_client
        client = make_client(self.url)
        greet(client)
        client.close()

    def _row(self, record: Any, number: int) -> tuple[str, str, list[bytes]]:
        params = self.params
        key = params.key if self._template is None else self._template.write(record)
        if not key:
            raise RecordError("the key is empty")
        payload = payload_of(record if params.payload_field is None else field_value(record, params.payload_field))
        match params.kind:
            case "stream":
                bound = [] if params.max_entries is None else [b"MAXLEN", b"~", b"%d" % params.max_entries]
                return key, "xadd", [*bound, b"*", b"id", b"%016x" % number, b"payload", payload]
            case "value":
                return key, "set", [payload] if params.expire_s is None else [payload, b"EX", b"%d" % params.expire_s]
            case "list":
                return key, "rpush", [payload]
            case "channel":
                return key, "publish", [payload]
