"""nats-source: messages of a NATS server of somebody else's, of a JetStream stream or of a subject."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from pydantic import Field, field_validator, model_validator

from thalweg import At, Bad, Context, RecordError, Secret, UnreachableError, component
from thalweg.graph.types import BYTES, STR, Record, StreamType
from thalweg.sdk.records import python_type
from thalweg_components.backoff import Backoff
from thalweg_components.nats_params import ServerParams, check_subject
from thalweg_components.payloads import Payloads, check_time_field, now_ns, time_of
from thalweg_components.type_params import MAX_TYPE, concrete_type

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

MAX_RAW_BYTES = 65_536  # of a message that does not fit, in its dead letter


class Params(ServerParams):
    """Where messages come from, and what they hold."""

    subject: str | None = Field(None, description="subject, * and > are wildcards; of a stream, which of its subjects")
    stream: str | None = Field(
        None, pattern=r"^[^\s.*>/\\]{1,255}$", description="JetStream stream; without it, the subject is subscribed to"
    )
    start: Literal["all", "new"] | int = Field("all", description="of a stream, where the first start begins: all, new, or a sequence")
    queue: str | None = Field(None, pattern=r"^[^\s.*>]{1,255}$", description="of a subject: group that shares the messages")
    schema_: str | None = Field(None, alias="schema", max_length=MAX_TYPE, description="stream type of a message, as in `record{t: float}`")
    encoding: Literal["json", "msgpack"] = Field("json", description="of what is neither bytes, str nor an image")
    time_field: str | None = Field(
        None, description="timestamp of the schema that is the event time; without it, when it was stored, or came"
    )
    buffer: int = Field(
        10_000, ge=1, le=1_000_000, description="of a subject: messages that are held; more are dropped, and told in the log"
    )

    @field_validator("subject")
    @classmethod
    def _is_subject(cls, text: str | None) -> str | None:
        return text if text is None else check_subject(text, wildcards=True)

    @model_validator(mode="after")
    def _fits(self) -> Params:
        if self.subject is None and self.stream is None:
            raise ValueError("give a subject or a stream")
        if self.stream is not None and self.queue is not None:
            raise ValueError("queue: of a subject, not of a stream")
        if isinstance(self.start, int) and self.start < 1:
            raise ValueError("start: a sequence is 1 or more")
        check_time_field(self.kind(), self.time_field)
        return self

    def kind(self) -> StreamType:
        """Type of a message's body."""
        return concrete_type(self.schema_) if self.schema_ is not None else BYTES

    def output(self) -> StreamType:
        """Type of what is emitted."""
        return self.kind() if self.schema_ is not None else Record((("subject", STR), ("payload", BYTES)), "Message")


@component("nats-source", version="1.0.0", deterministic=False)
class NatsSource:
    """Messages of another NATS server: of a JetStream stream, exactly, or of a subject, live.

    **Emits** on `out`, without `schema`, `record{subject: str, payload: bytes}`; with it, the body as that type: `str` is UTF-8, `bytes`
    and `image` (a JPEG or PNG file) are the body itself, all else is JSON, or msgpack as `encoding` says.

    **Params**: `servers` (URLs; `tls://` is TLS), `stream`, `subject` (of a stream: only these), `start` (`all`, `new`, or a sequence; at
    the first start), `queue` (of a subject), `schema`, `encoding`, `time_field`, `buffer`. **Secrets**: `user`, `password`, `token`, or
    `credentials` (the text of a .creds file).

    **Times**: when the stream has stored the message, or a message of a subject has come; or `time_field`.

    **Delivery** of a stream: each message once, in its order; the cursor is its sequence. What the stream removes before it was read is
    lost, and told in the log. Nothing is acknowledged; no consumer stays on the server. A stream that was deleted and made anew,
    with fewer messages than were read, fails the vertex.

    **Delivery** of a subject: at most once. What is sent while the source is away, has come and is not committed when it is killed, or is
    more than `buffer`, is lost.

    **Faults**: a message that is not of the type is faulty alone. An outage is waited out; refused credentials fail the vertex at its
    start."""

    params: Params
    user: Secret | None
    password: Secret | None
    token: Secret | None
    credentials: Secret | None

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """As the schema says."""
        return {"out": params.output()}

    def setup(self, context: Context) -> None:
        """Reads the params; connects to nothing yet."""
        self._context, self._class = context, context.record_class("out")
        self._backoff = Backoff(context.logger, self.params.servers[0])
        self._payloads = Payloads(self.params.kind())
        self._unpack = msgspec.msgpack.Decoder(python_type(self.params.kind())).decode
        self._client: Client | None = None

    async def read(self, cursor: int | None) -> AsyncIterator[At[Any] | Bad]:
        """Messages behind the cursor: of a stream, a sequence; else a count."""
        from thalweg_components.nats_stream import StreamReader, follow_subject

        client = await self._connected()
        try:
            if self.params.stream is None:
                count, logger = cursor or 0, self._context.logger
                async for message in follow_subject(
                    client, self.params.subject or ">", self.params.queue or "", self.params.buffer, logger
                ):
                    count += 1
                    yield self._record(message, count, now_ns())
            else:
                reader = StreamReader(client, self.params.stream, self.params.subject, self._backoff, self._context.logger)
                async for sequence, stored_ns, message in reader.read(cursor, self.params.start):
                    yield self._record(message, sequence, stored_ns)
        finally:
            await self.close()

    async def close(self) -> None:
        """Closes the connection. Idempotent."""
        from thalweg_components.nats_server import close

        client: Client | None = getattr(self, "_client", None)
        self._client = None
        await close(client)

    async def probe(self) -> None:
        """Connects once, and asks for the stream."""
        from thalweg_components.nats_server import probe

        await probe(self.params.servers, self._secrets(), self.params.stream)

    async def _connected(self) -> Client:
        from thalweg_components.nats_server import connect

        while True:
            try:
                name = f"thalweg {self._context.vertex}"
                self._client = await connect(self.params.servers, self._secrets(), name, self._context.logger)
            except UnreachableError as error:
                await asyncio.sleep(self._backoff.failed(error))
            else:
                self._backoff.worked()
                return self._client

    def _secrets(self) -> dict[str, Secret | None]:
        return {"user": self.user, "password": self.password, "token": self.token, "credentials": self.credentials}

    def _record(self, message: Msg, cursor: int, stored_ns: int) -> At[Any] | Bad:
        try:
            value = self._value(message)
            return At(value, cursor, time_of(value, self.params.time_field, stored_ns))
        except RecordError as error:
            return Bad(error, message.data[:MAX_RAW_BYTES], cursor)

    def _value(self, message: Msg) -> Any:
        if self.params.schema_ is None:
            return self._class(message.subject, message.data)
        if self.params.encoding == "json":
            return self._payloads.read(message.data)
        try:
            return self._unpack(message.data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError) as error:
            raise RecordError(f"not {self.params.schema_[:200]}: {str(error)[:200]}") from None
