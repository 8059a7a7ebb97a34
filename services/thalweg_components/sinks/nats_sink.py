"""nats-sink: publishes records to a NATS server of somebody else's."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec
from pydantic import Field, field_validator

from thalweg import Context, Receipt, RecordError, Secret, UnreachableError, component
from thalweg_components.backoff import Backoff
from thalweg_components.fields import check_field
from thalweg_components.files.rows import field_value
from thalweg_components.nats_params import ServerParams, check_subject
from thalweg_components.payloads import payload_of
from thalweg_components.text_template import TextTemplate

if TYPE_CHECKING:
    from nats.aio.client import Client

T = TypeVar("T")


class Params(ServerParams):
    """What is published, and where to."""

    subject: str = Field(min_length=1, max_length=4096, description="{…} are expressions over the record, as in `alarms.{station}`")
    jetstream: bool = Field(True, description="a stream must store it; false: it is sent to whoever listens")
    payload_field: str | None = Field(None, description="field that is the body; without it, the record is")
    encoding: Literal["json", "msgpack"] = Field("json", description="of what is neither bytes, str nor an image")
    give_up_after_s: float | None = Field(None, gt=0, description="of an outage; without it, it is waited out")

    @field_validator("subject")
    @classmethod
    def _is_subject(cls, text: str) -> str:
        return text if set("{}") & set(text) else check_subject(text, wildcards=False)


@component("nats-sink", version="1.0.0", deterministic=False)
class NatsSink:
    """Publishes records to another NATS server.

    **Ports**: `in` takes any type; `bytes`, `str` and images (as JPEG or PNG files) are the body themselves, all else is JSON, or msgpack
    as `encoding` says. `receipts` proves what was delivered: the subject, and the stream with the sequence that it has there.

    **Params**: `servers` (URLs; `tls://` is TLS), `subject`, `jetstream` (true), `payload_field`, `encoding`, `give_up_after_s`.
    **Secrets**: `user`, `password`, `token`, or `credentials` (the text of a .creds file).

    **Delivery**: the header `Nats-Msg-Id` is the record's id: within its duplicate window, two minutes where nothing else was set, a stream
    keeps each record once, however often it is sent. Records are published in order. With `jetstream: false` a receipt says that the server
    has it, not that anybody was there to hear it.

    **Faults**: a subject with wildcards or nothing in it, a body that is larger than the server takes, and what a stream refuses is a
    faulty record. An outage is waited out, a subject that no stream has too; both end as a faulty record after `give_up_after_s`.
    Expressions need `thalweg[cel]`.
    """

    params: Params
    user: Secret | None
    password: Secret | None
    token: Secret | None
    credentials: Secret | None

    def setup(self, context: Context) -> None:
        """Reads the params; the first batch connects."""
        params, source = self.params, context.input_type("in")
        self._template = TextTemplate(params.subject, source, "") if set("{}") & set(params.subject) else None
        check_field(source, params.payload_field, "payload_field")
        self._context = context
        self._client: Client | None = None
        self._backoff = Backoff(context.logger, params.servers[0])

    async def process(self, batch: list[T]) -> list[Receipt]:
        """Publishes all, in order."""
        from thalweg_components.nats_publishing import Outgoing, publish, publish_plain

        ids = self._context.record_ids
        left = [Outgoing(self._subject(one), self._body(one), f"{own:016x}") for one, own in zip(batch, ids, strict=True)]
        found, began_s, attempts = list[Receipt](), time.monotonic(), 0
        while left:
            attempts += 1
            try:
                client = await self._connected()
                references = await (publish if self.params.jetstream else publish_plain)(client, left)
            except UnreachableError as error:
                pause_s, limit_s = self._backoff.failed(error), self.params.give_up_after_s
                if limit_s is not None and time.monotonic() + pause_s - began_s > limit_s:
                    raise RecordError(f"not taken within {limit_s:g} s: {error}") from None
                await asyncio.sleep(pause_s)
                continue
            self._backoff.worked()
            server = self.params.servers[0]
            found += [Receipt(f"{server}/{one.subject}", told, attempts) for one, told in zip(left, references, strict=False)]
            left = left[len(references) :]
        return found

    async def close(self) -> None:
        """Closes the connection. Idempotent."""
        from thalweg_components.nats_server import close

        client = getattr(self, "_client", None)
        self._client = None
        await close(client)

    async def probe(self) -> None:
        """Connects once."""
        from thalweg_components.nats_server import probe

        await probe(self.params.servers, self._secrets())

    async def _connected(self) -> Client:
        from thalweg_components.nats_server import connect

        if self._client is None:
            name = f"thalweg {self._context.vertex}"
            self._client = await connect(self.params.servers, self._secrets(), name, self._context.logger)
        return self._client

    def _secrets(self) -> dict[str, Secret | None]:
        return {"user": self.user, "password": self.password, "token": self.token, "credentials": self.credentials}

    def _subject(self, record: Any) -> str:
        if self._template is None:
            return self.params.subject
        try:
            return check_subject(self._template.write(record), wildcards=False)
        except ValueError as error:
            raise RecordError(str(error)) from None

    def _body(self, record: Any) -> bytes:
        value = record if self.params.payload_field is None else field_value(record, self.params.payload_field)
        return payload_of(value) if self.params.encoding == "json" else msgspec.msgpack.encode(value)
