"""http-enrich: adds to each record what a URL answers for it."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from urllib.parse import quote

from pydantic import Field, field_validator

from thalweg import Context, InputFile, RecordError, Secret, component
from thalweg.errors import RejectedError
from thalweg.graph.types import OptionalOf, Record, StreamType, format_type
from thalweg_components.backoff import Backoff
from thalweg_components.extras import needs
from thalweg_components.http_params import HttpParams, shown_url
from thalweg_components.names import check_names
from thalweg_components.payloads import Payloads
from thalweg_components.text_template import TextTemplate
from thalweg_components.type_params import MAX_TYPE, concrete_type

if TYPE_CHECKING:
    from thalweg_components.http_client import Answer, HttpClient

In = TypeVar("In")
Out = TypeVar("Out")
MAX_SHOWN = 200


class Params(HttpParams):
    """What is asked, and what becomes of the answer."""

    url: str = Field(max_length=4096, description="{…} are expressions over the record, as in `https://api.example/stations/{code}`")
    schema_: str = Field(alias="schema", max_length=MAX_TYPE, description="stream type of the answer, as in `record{city: str}`")
    field: str = Field("answer", pattern="^[A-Za-z_][A-Za-z0-9_]{0,63}$", description="field that gets it")
    missing: Literal["null", "drop", "fail"] = Field("null", description="404 and 410: null, no record, or a faulty one")
    in_flight: int = Field(8, ge=1, le=64, description="requests at the same time; records keep their order")
    cache: int = Field(10_000, ge=0, le=1_000_000, description="answers that are kept, by URL; the least used go first")
    cache_s: float = Field(300.0, gt=0, le=1e9, description="how long an answer is kept, seconds")
    give_up_after_s: float | None = Field(None, gt=0, description="of an outage; without it, it is waited out")

    @field_validator("schema_")
    @classmethod
    def _is_type(cls, text: str) -> str:
        concrete_type(text)
        return text

    @field_validator("url")
    @classmethod
    def _is_url(cls, text: str) -> str:
        host = text.partition("://")[2].partition("/")[0]
        if not text.startswith(("http://", "https://")) or not host or set("{}@") & set(host):
            raise ValueError("url: must begin with http:// or https:// and a host that no record chooses, without user and password")
        return text


@component("http-enrich", version="1.0.0", deterministic=False)
class HttpEnrich:
    """Adds to each record what a URL answers for it.

    **Ports**: `in` takes records. `out` emits them in their order, with the answer in `field` behind their own fields.

    **Params**: `url` (a template: text that comes out of a record is quoted), `schema` (stream type of the answer; `str`, `bytes` and
    `image` are the body itself, all else is JSON), `field` (`answer`), `missing`: what 404 and 410 mean: `null` (the field is `T?`),
    `drop`, or `fail` (a faulty record). `in_flight` (8), `cache` (10,000 answers, none with 0), `cache_s` (300), `headers`, `timeout_s`,
    `give_up_after_s`, `private_addresses`, `max_response_bytes`. **Secrets**: `authorization`. **Files**: `ca` (text).

    **Outages**: 408, 425, 429, 500, 502, 503, 504 and no answer are tried again, after `Retry-After` where the server says so.

    **Faults**: any other status, and an answer that is not of the type, is a faulty record. Not deterministic: its answers are on the log.
    Needs `pip install 'thalweg[http,cel]'`.
    """

    params: Params
    authorization: Secret | None
    ca: Annotated[InputFile | None, "text"]

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The input's fields, then the answer."""
        source, kind = inputs["in"], concrete_type(params.schema_)
        if not isinstance(source, Record):
            raise RejectedError(f"{format_type(source)} is no record", code="type.unsupported", hint="http-enrich works on records")
        is_optional = params.missing == "null" and not isinstance(kind, OptionalOf)
        fields = (*source.fields, (params.field, OptionalOf(kind) if is_optional else kind))
        check_names((name for name, _ in fields), "field")
        TextTemplate(params.url, source, "null")
        return {"out": Record(fields)}

    async def setup(self, context: Context) -> None:
        """Reads the template; the first record connects."""
        with needs("http"):
            from thalweg_components.http_client import HttpClient
        source = context.input_type("in")
        assert isinstance(source, Record)
        self._names, self._class = [name for name, _ in source.fields], context.record_class("out")
        self._template = TextTemplate(self.params.url, source, "null", partial(quote, safe=""))
        self._payloads = Payloads(concrete_type(self.params.schema_))
        self._backoff = Backoff(context.logger, shown_url(self.params.url.partition("{")[0]))
        self._client: HttpClient = HttpClient(self.params, self.authorization, self.ca)
        self._kept: OrderedDict[str, tuple[float, Answer]] = OrderedDict()

    async def process(self, batch: list[In]) -> list[Out]:
        """The records with their answers; each URL of a batch is asked once."""
        urls = [self._template.write(record) for record in batch]
        room = asyncio.Semaphore(self.params.in_flight)
        asked = {url: asyncio.create_task(self._answer(url, room)) for url in dict.fromkeys(urls)}
        try:
            await asyncio.gather(*asked.values())
        finally:
            for task in asked.values():
                task.cancel()
            await asyncio.gather(*asked.values(), return_exceptions=True)
        found: Any = [self._joined(record, asked[url].result()) for record, url in zip(batch, urls, strict=True)]
        return found  # type: ignore[no-any-return]  # None is a record that is dropped

    async def close(self) -> None:
        """Closes the connections. Idempotent."""
        client: HttpClient | None = getattr(self, "_client", None)
        if client is not None:
            await client.close()

    async def probe(self) -> None:
        """Asks for the part of the URL that all records have in common; any status but 401 and 403 will do."""
        with needs("http"):
            from thalweg_components.http_client import HttpClient
        url, client = self.params.url.partition("{")[0], HttpClient(self.params, self.authorization, self.ca)
        try:
            await client.probe("HEAD", url, shown_url(url))
        finally:
            await client.close()

    async def _answer(self, url: str, room: asyncio.Semaphore) -> Answer:
        async with room:
            kept = self._kept.get(url)
            if kept is not None and time.monotonic() < kept[0]:
                self._kept.move_to_end(url)
                return kept[1]
            answer, _ = await self._client.settle(lambda: ("GET", url, {}, None), self._backoff, self.params.give_up_after_s)
            if answer.status in (200, 404, 410) and self.params.cache:
                self._kept[url] = (time.monotonic() + self.params.cache_s, answer)
                while len(self._kept) > self.params.cache:
                    self._kept.popitem(last=False)
            return answer

    def _joined(self, record: Any, answer: Answer) -> Any:
        value: Any = None
        if answer.status == 200:
            value = self._payloads.read(answer.body)
        elif answer.status not in (404, 410) or self.params.missing == "fail":
            said = " ".join(answer.body[: 4 * MAX_SHOWN].decode(errors="replace").split())[:MAX_SHOWN]
            raise RecordError(f"status {answer.status}" + (f": {said}" if said else ""))
        elif self.params.missing == "drop":
            return None
        return self._class(*[getattr(record, name) for name in self._names], value)
