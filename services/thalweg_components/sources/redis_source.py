"""redis-source: entries of a stream or list, messages of a channel of a Redis server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from thalweg import At, Bad, Context, RecordError, Secret, component
from thalweg.graph.types import BYTES, STR, MapOf, Record, StreamType
from thalweg_components.extras import needs
from thalweg_components.payloads import Payloads, check_time_field, time_of
from thalweg_components.type_params import MAX_TYPE, concrete_type

T = TypeVar("T")
MAX_RAW = 65_536  # bytes of an entry that does not fit, in its dead letter


class Params(BaseModel):
    """What is read, and what it holds."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(min_length=1, max_length=1024, description="of the stream or list, or name of the channel")
    kind: Literal["stream", "list", "channel"] = Field("stream", description="a stream is read exactly; the others lose at a kill")
    schema_: str | None = Field(
        None, alias="schema", max_length=MAX_TYPE, description="stream type of the payload, as in `record{t: float}`"
    )
    payload_field: str = Field("payload", min_length=1, description="field of a stream's entry that is the payload")
    time_field: str | None = Field(None, description="timestamp of the schema that is the event time")
    follow: bool = Field(True, description="false: end with the last entry of the stream")

    @model_validator(mode="after")
    def _fits(self) -> Params:
        if not self.follow and self.kind != "stream":
            raise ValueError("follow: only a stream has an end")
        check_time_field(self.kind_of(), self.time_field)
        return self

    def kind_of(self) -> StreamType:
        """Type of what is emitted."""
        return concrete_type(self.schema_) if self.schema_ is not None else Record((("id", STR), ("fields", MapOf(BYTES))), "Entry")


@component("redis-source", version="1.0.0", deterministic=False)
class RedisSource:
    """Reads a stream, a list or a channel of a Redis or Valkey server.

    **Emits** on `out`, with `schema`, the payload as that type: `str` is UTF-8, `bytes` and `image` (a JPEG or PNG file) are the payload
    itself, all else is JSON. Without it `record{id: str, fields: map[bytes]}`.

    **Params**: `key`, `kind` (`stream`, `list`, `channel`), `schema`, `payload_field` (of a stream's entries), `time_field`, `follow`
    (false ends with the last entry of a stream). **Secrets**: `url`, as in `redis://user:password@host:6379/0`.

    **Times**: when an entry was added to a stream, else when it was read; or `time_field`.

    **Faults**: a payload that is not of the type is a faulty record. An outage is waited out. Needs `pip install 'thalweg[redis]'`.

    **Resumes**, of a stream, exactly behind the last committed entry; entries that were trimmed meanwhile are told of in the log. Items of
    a list are taken from it: what is not committed before a kill or an outage is lost, as are messages of a channel while nobody listens.
    """

    params: Params
    url: Secret
    outputs: ClassVar[dict[str, Any]] = {"out": T}

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """As the schema says."""
        return {"out": params.kind_of()}

    def setup(self, context: Context) -> None:
        """Makes the reader; connects to nothing yet."""
        with needs("redis"):
            from thalweg_components.redis_entries import RedisEntries
        self._entries = RedisEntries(self.url, self.params.key, context.logger)
        self._class = context.record_class("out")
        self._payloads = None if self.params.schema_ is None else Payloads(self.params.kind_of())

    def read(self, cursor: str | None) -> Iterator[At[Any] | Bad]:
        """Entries as they come. The cursor is the id of a stream's entry."""
        kind = self.params.kind
        if kind == "stream":
            entries = self._entries.stream(cursor, follow=self.params.follow)
        else:
            entries = self._entries.pops() if kind == "list" else self._entries.messages()
        for entry in entries:
            yield self._item(entry)

    def close(self) -> None:
        """Closes the connections."""
        if hasattr(self, "_entries"):
            self._entries.close()

    def probe(self) -> None:
        """Connects once."""
        with needs("redis"):
            from thalweg_components.redis_connection import greet, make_client
        client = make_client(self.url)
        greet(client)
        client.close()

    def _item(self, entry: Any) -> At[Any] | Bad:
        try:
            if self._payloads is None:
                return At(self._class(entry.id, entry.fields), entry.id, entry.time_ns)
            payload = entry.fields.get(self.params.payload_field)
            if payload is None:
                raise RecordError(f"it has no field {self.params.payload_field}", hint=f"it has: {', '.join(entry.fields)[:200]}")
            value = self._payloads.read(payload)
            return At(value, entry.id, time_of(value, self.params.time_field, entry.time_ns))
        except RecordError as error:
            where = f"{self.params.key} {entry.id}".strip()
            return Bad(RecordError(str(error), where, error.hint), repr(entry.fields)[:MAX_RAW], entry.id)
