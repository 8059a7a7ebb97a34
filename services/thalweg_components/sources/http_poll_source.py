"""http-poll-source: what a URL answers, asked again and again."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urljoin, urlsplit

import msgspec
from pydantic import Field, field_validator, model_validator

from thalweg import At, Bad, Context, InputFile, RecordError, Secret, component
from thalweg.graph.types import BYTES, STR, ImageType, StreamType
from thalweg_components.backoff import Backoff
from thalweg_components.extras import needs
from thalweg_components.http_params import HttpParams, check_http_url, shown_url
from thalweg_components.json_pointers import check_pointer, find_pointer
from thalweg_components.payloads import Payloads, check_time_field, now_ns, time_of
from thalweg_components.type_params import MAX_TYPE, concrete_type

if TYPE_CHECKING:
    from thalweg_components.http_client import Answer, HttpClient

_LINK = re.compile(r"<([^<>]*)>((?:\s*;\s*[a-zA-Z*-]+(?:=(?:\"[^\"]*\"|[^\",;\s]*))?)*)")
_LINK_PARAM = re.compile(r";\s*([a-zA-Z*-]+)=(?:\"([^\"]*)\"|([^\",;\s]*))")
MAX_URL = 4096
MAX_KNOWN = 64  # pages of which it is remembered how they were
MAX_RAW_BYTES = 65_536  # of an item that does not fit, in its dead letter


class Params(HttpParams):
    """What is asked, how often, and what it answers."""

    url: str = Field(max_length=4096, description="what is asked by GET")
    schema_: str = Field(alias="schema", max_length=MAX_TYPE, description="stream type of a record, as in `record{id: int, at: timestamp}`")
    every_s: float = Field(60.0, ge=0.05, le=86_400, description="from one round to the next, seconds")
    items: str | None = Field(None, description="JSON pointer to a list in the answer, each item a record; empty: the answer is the list")
    next: str = Field("none", max_length=1024, description="where further pages are: `link` (header, rel=next), or a JSON pointer")
    max_pages: int = Field(1000, ge=1, le=1_000_000, description="of one round; what follows is left out")
    time_field: str | None = Field(None, description="timestamp of the schema that is the event time; without it, the arrival")
    rounds: int | None = Field(None, ge=1, le=2**53, description="ends after so many; without it, never")

    @field_validator("url")
    @classmethod
    def _is_url(cls, text: str) -> str:
        return check_http_url(text, "http", "https")

    @field_validator("items")
    @classmethod
    def _is_pointer(cls, text: str | None) -> str | None:
        return text if text is None else check_pointer(text)

    @model_validator(mode="after")
    def _fits(self) -> Params:
        kind = self.kind()
        check_time_field(kind, self.time_field)
        if self.next not in ("none", "link"):
            check_pointer(self.next)
        if self.items is not None and (kind in (BYTES, STR) or isinstance(kind, ImageType)):
            raise ValueError("items: the items of a list in JSON are neither bytes, str nor images")
        return self

    def kind(self) -> StreamType:
        """Type of a record."""
        return concrete_type(self.schema_)


class _Place(msgspec.Struct, array_like=True):
    """Where to go on.

    Attributes:
        round: how many are over.
        page: URL of the page; "" for the first one.
        number: of the page, from 0.
        done: its items that have been given.
        digest: of that page, by which it is known again.
        etag, modified: of the first page, as it was when the round began.
        known: digests of the first pages, as they were when they were last given.
    """

    round: int = 0
    page: str = ""
    number: int = 0
    done: int = 0
    digest: str = ""
    etag: str = ""
    modified: str = ""
    known: list[str] = msgspec.field(default_factory=list)

    def is_known(self) -> bool:
        """Whether the page is as it was when it was last given."""
        return not self.done and self.number < len(self.known) and self.known[self.number] == self.digest

    def turn(self, page: str) -> None:
        """Goes on to the next page, or to the next round where there is none."""
        if self.number < MAX_KNOWN:
            self.known[self.number :] = [self.digest, *(self.known[self.number + 1 :] if page else [])]
        self.page, self.number, self.done = page, self.number + 1, 0
        if not page:
            self.round, self.number = self.round + 1, 0


@component("http-poll-source", version="1.0.0", deterministic=False)
class HttpPollSource:
    """What a URL answers, asked again and again; an answer that has not changed gives nothing.

    **Emits** on `out` the answer as `schema`: `str` is UTF-8, `bytes` and `image` (a JPEG or PNG file) are the answer itself, all else is
    JSON. With `items`, a record for each item of the list that the JSON pointer leads to.

    **Params**: `url`, `schema`, `every_s` (60), `items`, `next` (`none`; `link`: the header with rel=next, as GitHub has it; or a JSON
    pointer to the URL of the next page, on the same host), `max_pages` (1,000), `time_field`, `rounds`, `headers`, `timeout_s`,
    `private_addresses`, `max_response_bytes`. **Secrets**: `authorization`. **Files**: `ca` (text).

    **What has changed**: the first page is asked for with `If-None-Match` and `If-Modified-Since`, as far as the server gave such; 304 ends
    the round. Of the first 64 pages, those of the same bytes as in the round before give nothing. A page that has changed is given whole:
    put `deduplicate` behind it, to have each item once.

    **Resumes** at the page, behind the last committed item. Where the page has changed meanwhile, all of it is given: nothing that the
    server still shows is lost, some comes twice.

    **Faults**: an item that is not of the type is faulty alone. Answers with 408, 425, 429 and 5xx, and none at all, are waited out; any
    other status but 200 is told in the log, and ends the round. Needs `pip install 'thalweg[http]'`."""

    params: Params
    authorization: Secret | None
    ca: Annotated[InputFile | None, "text"]

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """As the schema says."""
        return {"out": params.kind()}

    async def setup(self, context: Context) -> None:
        """Makes the client; connects to nothing yet."""
        self._logger = context.logger
        self._payloads = Payloads(self.params.kind())
        self._backoff = Backoff(context.logger, shown_url(self.params.url))
        self._client = self._open()

    async def read(self, cursor: Any) -> AsyncIterator[At[Any] | Bad]:
        """Records behind the cursor."""
        place, loop = msgspec.convert(cursor, _Place) if cursor is not None else _Place(), asyncio.get_running_loop()
        while self.params.rounds is None or place.round < self.params.rounds:
            due_s = loop.time() + self.params.every_s
            before = place.round
            async for one in self._round(place):
                yield one
            if place.round == before:  # it was broken off
                place.round, place.page, place.number, place.done = before + 1, "", 0, 0
            if self.params.rounds is None or place.round < self.params.rounds:
                await asyncio.sleep(max(0.0, due_s - loop.time()))

    async def close(self) -> None:
        """Closes the connections. Idempotent."""
        client: HttpClient | None = getattr(self, "_client", None)
        if client is not None:
            await client.close()

    async def probe(self) -> None:
        """Asks once."""
        client = self._open()
        try:
            await client.probe("GET", self.params.url, shown_url(self.params.url), refused=(401, 403, 404, 405, 410))
        finally:
            await client.close()

    async def _round(self, place: _Place) -> AsyncIterator[At[Any] | Bad]:
        """The rest of a round; `place` is always behind what was given last."""
        while place.number < self.params.max_pages:
            is_begin = not place.page and not place.done
            answer = await self._ask(place, is_begin=is_begin)
            if answer is None:
                return
            digest = hashlib.sha256(answer.body).hexdigest()[:8]
            if is_begin:
                place.etag, place.modified = answer.headers.get("etag", ""), answer.headers.get("last-modified", "")
            given, place.digest = place.done if digest == place.digest else 0, digest
            place.done = given
            items = [] if place.is_known() else self._items(answer.body)
            for place.done, item in enumerate(items[given:], given + 1):
                yield self._record(item, msgspec.to_builtins(place))
            place.turn(self._next(answer, place.page or self.params.url))
            if not place.page:
                return
        self._logger.warning("%s: more than %d pages; the rest is left out", shown_url(self.params.url), self.params.max_pages)

    async def _ask(self, place: _Place, *, is_begin: bool) -> Answer | None:
        """A page; None where nothing has changed, or the server refuses."""
        url, headers = place.page or self.params.url, {}
        if is_begin and place.known:
            headers = {name: value for name, value in (("if-none-match", place.etag), ("if-modified-since", place.modified)) if value}
        try:
            answer, _ = await self._client.settle(lambda: ("GET", url, headers, None), self._backoff, None)
        except RecordError as error:
            self._logger.warning("%s: %s", shown_url(url), error)
            place.etag = place.modified = ""
            return None
        if answer.status not in (200, 304):
            self._logger.warning("%s: status %d", shown_url(url), answer.status)
            place.etag = place.modified = ""  # what was left out is asked for again
        return answer if answer.status == 200 else None

    def _items(self, body: bytes) -> list[bytes | RecordError]:
        """Each item as an answer of its own; what is no list is one that is faulty."""
        if self.params.items is None:
            return [body]
        try:
            found = find_pointer(msgspec.json.decode(body), self.params.items)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return [RecordError(f"the answer is no JSON: {str(error)[:200]}")]
        if not isinstance(found, list):
            return [RecordError(f"the answer has no list at {self.params.items!r}")]
        return [msgspec.json.encode(item) for item in found]

    def _record(self, item: bytes | RecordError, cursor: Any) -> At[Any] | Bad:
        try:
            if isinstance(item, RecordError):
                raise item
            value = self._payloads.read(item)
            return At(value, cursor, time_of(value, self.params.time_field, now_ns()))
        except RecordError as error:
            return Bad(error, b"" if isinstance(item, RecordError) else item[:MAX_RAW_BYTES], cursor)

    def _next(self, answer: Answer, url: str) -> str:
        """URL of the page behind this one; "" for none. Only on the same host: credentials go along."""
        if self.params.next == "none":
            return ""
        found: Any = None
        if self.params.next == "link":
            found = next_link(answer.headers.get("link", ""))
        else:
            with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                found = find_pointer(msgspec.json.decode(answer.body), self.params.next)
        if not isinstance(found, str) or not found:
            return ""
        wanted = urljoin(url, found)
        if urlsplit(wanted)[:2] != urlsplit(self.params.url)[:2] or len(wanted) > MAX_URL:
            self._logger.warning("%s: its next page is on another host, and is left out", shown_url(url))
            return ""
        return wanted

    def _open(self) -> HttpClient:
        with needs("http"):
            from thalweg_components.http_client import HttpClient
        return HttpClient(self.params, self.authorization, self.ca)


def next_link(header: str) -> str:
    """Target of the link with rel=next in a Link header; "" for none. Source: RFC 8288, 3."""
    for target, params in _LINK.findall(header):
        if any(name == "rel" and "next" in (quoted or bare).split() for name, quoted, bare in _LINK_PARAM.findall(params)):
            return str(target)
    return ""
