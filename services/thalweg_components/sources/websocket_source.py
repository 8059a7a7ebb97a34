"""websocket-source: messages that a WebSocket server sends."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator, model_validator

from thalweg import At, Bad, Context, InputFile, RecordError, RejectedError, Secret, UnreachableError, component
from thalweg.graph.types import StreamType
from thalweg_components.backoff import Backoff
from thalweg_components.extras import needs
from thalweg_components.http_params import HttpParams, check_http_url, shown_url
from thalweg_components.payloads import Payloads, check_time_field, now_ns, time_of
from thalweg_components.type_params import MAX_TYPE, concrete_type

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

MAX_RAW_BYTES = 65_536  # of a message that does not fit, in its dead letter
PROBE_TIMEOUT_S = 8.0
STEADY_S = 5.0  # a connection that has lived so long has worked


class Params(HttpParams):
    """Where the server is, and what it sends."""

    url: str | None = Field(None, max_length=4096, description="ws:// or wss://; a URL with a token in it is the secret url instead")
    schema_: str = Field(alias="schema", max_length=MAX_TYPE, description="stream type of a message, as in `record{price: float}`")
    subscribe: list[str] = Field(default_factory=list, max_length=64, description="messages to send once it is connected, in order")
    time_field: str | None = Field(None, description="timestamp of the schema that is the event time; without it, the arrival")
    max_message_bytes: int = Field(4_194_304, ge=1, le=268_435_456, description="a larger one ends the connection")
    ping_s: float = Field(20.0, ge=0.1, le=3600, description="an idle connection is tried so often, and is gone without an answer")

    @field_validator("url")
    @classmethod
    def _is_url(cls, text: str | None) -> str | None:
        return text if text is None else check_http_url(text, "ws", "wss")

    @model_validator(mode="after")
    def _fits(self) -> Params:
        check_time_field(concrete_type(self.schema_), self.time_field)
        return self


@component("websocket-source", version="1.0.0", deterministic=False)
class WebsocketSource:
    """Messages that a WebSocket server sends, live.

    **Emits** on `out` each message as `schema`: `str` is UTF-8, `bytes` and `image` (a JPEG or PNG file) are the message itself, all else
    is JSON.

    **Params**: `url`, `schema`, `subscribe` (texts to send after each connect), `time_field`, `headers`, `timeout_s` (of connecting),
    `ping_s` (20), `max_message_bytes`. **Secrets**: `url` (in place of the param), `authorization`. **Files**: `ca` (text).

    **Delivery**: at most once. What the server sends while the source is away is lost, and so is what has arrived and is not committed when
    it is killed. While the graph is behind, the server is held up: nothing is dropped here.

    **Outages**: it connects again, after growing pauses, for ever; refused credentials too, with a line in the log. A message that is
    not of the type is faulty alone. Needs `pip install 'thalweg[http]'`.
    """

    params: Params
    url: Secret | None
    authorization: Secret | None
    ca: Annotated[InputFile | None, "text"]

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """As the schema says."""
        return {"out": concrete_type(params.schema_)}

    def setup(self, context: Context) -> None:
        """Reads the params; connects to nothing yet."""
        self._payloads = Payloads(concrete_type(self.params.schema_))
        self._backoff = Backoff(context.logger, self._target())
        self._address()

    async def read(self, cursor: int | None) -> AsyncIterator[At[Any] | Bad]:
        """Messages from now on; the cursor counts them."""
        with needs("http"):
            from websockets.exceptions import WebSocketException
        count = cursor or 0
        while True:
            began_s = time.monotonic()
            try:
                async with await self._connect() as connection:
                    for text in self.params.subscribe:
                        await connection.send(text)
                    async for message in connection:
                        self._backoff.worked()
                        count += 1
                        yield self._record(message, count)
                error: Exception = ConnectionError("the server has closed the connection")
            except (WebSocketException, OSError, TimeoutError) as failed:
                error = failed
            if time.monotonic() - began_s > STEADY_S:
                self._backoff.worked()
            await asyncio.sleep(self._backoff.failed(error))

    async def probe(self) -> None:
        """Connects once; nothing is sent."""
        with needs("http"):
            from websockets.exceptions import InvalidStatus, WebSocketException
        target = self._target()
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S), await self._connect():
                return
        except InvalidStatus as error:
            what = f"{target}: status {error.response.status_code}"
            raise RejectedError(what, code="websocket.refused", target=target) from None
        except (WebSocketException, OSError, TimeoutError) as error:
            raise UnreachableError(f"{target}: {type(error).__name__}", code="websocket.unreachable", target=target) from None

    async def _connect(self) -> ClientConnection:
        from websockets.asyncio.client import connect

        params, address = self.params, self._address()
        headers = {**params.headers, **({"authorization": self.authorization.reveal()} if self.authorization is not None else {})}
        context = ssl.create_default_context() if address.startswith("wss:") else None
        if context is not None and self.ca is not None:
            context.load_verify_locations(cafile=str(self.ca.path))
        return await connect(
            address,
            additional_headers=headers,
            user_agent_header="thalweg",
            open_timeout=params.timeout_s,
            ping_interval=params.ping_s,
            ping_timeout=params.ping_s,
            max_size=params.max_message_bytes,
            max_queue=16,
            proxy=None,
            ssl=context,
        )

    def _record(self, message: str | bytes, count: int) -> At[Any] | Bad:
        data = message.encode() if isinstance(message, str) else message
        try:
            value = self._payloads.read(data)
            return At(value, count, time_of(value, self.params.time_field, now_ns()))
        except RecordError as error:
            return Bad(error, data[:MAX_RAW_BYTES], count)

    def _target(self) -> str:
        return shown_url(self._address(), is_secret=self.url is not None)

    def _address(self) -> str:
        given = self.url.reveal().strip() if self.url is not None else self.params.url
        if given is None:
            raise RejectedError("neither the param url nor the secret url is given", code="params.invalid")
        try:
            return check_http_url(given, "ws", "wss")
        except ValueError:
            raise RejectedError("the secret url is no ws:// or wss:// URL", code="secret.invalid") from None
