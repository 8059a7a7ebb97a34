"""webhook: sends records to a URL, signed."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import Field, field_validator

from thalweg import Context, Image, InputFile, Receipt, RecordError, RejectedError, Secret, component
from thalweg_components.backoff import Backoff
from thalweg_components.extras import needs
from thalweg_components.fields import check_field
from thalweg_components.files.rows import field_value
from thalweg_components.http_params import HttpParams, check_http_url, shown_url
from thalweg_components.payloads import payload_of
from thalweg_components.webhook_signatures import headers_of, key_of

if TYPE_CHECKING:
    from thalweg_components.http_client import HttpClient

T = TypeVar("T")
MAX_SHOWN = 200


class Params(HttpParams):
    """Where records are sent to, and how."""

    url: str | None = Field(None, max_length=4096, description="where to; a URL with a token in it is the secret url instead")
    payload_field: str | None = Field(None, description="field that is the body; without it, the record is")
    in_flight: int = Field(1, ge=1, le=64, description="requests at the same time; more than one may arrive in another order")
    give_up_after_s: float | None = Field(None, gt=0, description="of an outage; without it, it is waited out")

    @field_validator("url")
    @classmethod
    def _is_url(cls, text: str | None) -> str | None:
        return text if text is None else check_http_url(text, "http", "https")


@component("webhook", version="1.0.0", deterministic=False)
class Webhook:
    """Sends each record to a URL by POST, signed as Standard Webhooks has it.

    **Ports**: `in` takes any type; `bytes`, `str` and images (as JPEG or PNG files) are the body themselves, all else is JSON.
    `receipts` proves what was delivered: the URL without its query, the message's id, and how often it was sent.

    **Params**: `url`, `payload_field`, `headers`, `in_flight` (1: in order), `timeout_s` (10), `give_up_after_s`, `private_addresses`
    (true; false refuses hosts with private, local or reserved addresses, looked up at each connection), `max_response_bytes`.
    **Secrets**: `signing` (`whsec_` and base64), `authorization` (the header's whole value, as in `Bearer …`), `url` (in place of the
    param). **Files**: `ca` (text), PEM certificates to trust.

    **Signature**: `webhook-id`, `webhook-timestamp` (seconds, of this try) and, with `signing`, `webhook-signature: v1,…`: HMAC-SHA256
    of id, time and body with dots between. The id is that of the record, the same at each try and after each restart: a receiver
    that keeps the ids of the last days has each record once.

    **Delivery**: any 2xx is a receipt. 408, 425, 429, 500, 502, 503, 504 and no answer are tried again, after `Retry-After` where the
    server says so (five minutes at most). Any other status is a faulty record, a redirect too: none is followed. A record is sent again
    where the vertex is killed before its commit.

    Needs `pip install 'thalweg[http]'`.
    """

    params: Params
    signing: Secret | None
    authorization: Secret | None
    url: Secret | None
    ca: Annotated[InputFile | None, "text"]

    async def setup(self, context: Context) -> None:
        """Looks at params and secrets; the first record connects."""
        check_field(context.input_type("in"), self.params.payload_field, "payload_field")
        self._context = context
        self._key = self._signing_key()
        self._where = self._address()
        self._target = shown_url(self._where, is_secret=self.url is not None)
        self._backoff = Backoff(context.logger, self._target)
        self._client = self._open()
        self._known: dict[int, Receipt | RecordError] = {}

    async def process(self, batch: list[T]) -> list[Receipt]:
        """A receipt for each.

        A batch of which one fails is given again, record by record: what has become of each is remembered, so that none is sent twice.
        """
        ids, room = list(self._context.record_ids), asyncio.Semaphore(self.params.in_flight)
        known = {one: self._known.pop(one, None) for one in ids}
        self._known = {} if len(batch) > 1 else self._known

        async def one(record: Any, record_id: int) -> Receipt | RecordError:
            async with room:
                try:
                    return known[record_id] or await self._send(record, f"{record_id:016x}")
                except RecordError as error:
                    return error

        found = await asyncio.gather(*(one(*pair) for pair in zip(batch, ids, strict=True)))
        fault = next((one for one in found if isinstance(one, RecordError)), None)
        if fault is not None:
            self._known |= dict(zip(ids, found, strict=True)) if len(batch) > 1 else {}
            raise fault
        return [one for one in found if isinstance(one, Receipt)]

    async def close(self) -> None:
        """Closes the connections. Idempotent."""
        client: HttpClient | None = getattr(self, "_client", None)
        if client is not None:
            await client.close()

    async def probe(self) -> None:
        """Asks for the URL's options, which changes nothing there; any status but 401 and 403 will do."""
        self._signing_key()
        where, client = self._address(), self._open()
        try:
            await client.probe("OPTIONS", where, shown_url(where, is_secret=self.url is not None))
        finally:
            await client.close()

    async def _send(self, record: Any, message_id: str) -> Receipt:
        value = record if self.params.payload_field is None else field_value(record, self.params.payload_field)
        body, kind = payload_of(value), _content_type(value)

        def ask() -> tuple[str, str, dict[str, str], bytes | None]:
            return "POST", self._where, {"content-type": kind, **headers_of(message_id, int(time.time()), body, self._key)}, body

        answer, attempts = await self._client.settle(ask, self._backoff, self.params.give_up_after_s)
        if not 200 <= answer.status < 300:
            said = " ".join(answer.body[: 4 * MAX_SHOWN].decode(errors="replace").split())[:MAX_SHOWN]
            raise RecordError(f"{self._target}: status {answer.status}" + (f": {said}" if said else ""))
        return Receipt(self._target, message_id, attempts)

    def _open(self) -> HttpClient:
        with needs("http"):
            from thalweg_components.http_client import HttpClient
        return HttpClient(self.params, self.authorization, self.ca)

    def _address(self) -> str:
        if self.url is not None:
            try:
                return check_http_url(self.url.reveal().strip(), "http", "https")
            except ValueError:
                raise RejectedError("the secret url is no http:// or https:// URL", code="secret.invalid") from None
        if self.params.url is None:
            raise RejectedError("neither the param url nor the secret url is given", code="params.invalid")
        return self.params.url

    def _signing_key(self) -> bytes | None:
        try:
            return key_of(self.signing.reveal()) if self.signing is not None else None
        except ValueError as error:
            raise RejectedError(str(error), code="secret.invalid", hint="whsec_ and base64 of 24 to 64 random bytes") from None


def _content_type(value: Any) -> str:
    if isinstance(value, Image):
        return "image/png" if value.format == "png" else "image/jpeg"
    if isinstance(value, bytes):
        return "application/octet-stream"
    return "text/plain; charset=utf-8" if isinstance(value, str) else "application/json"
