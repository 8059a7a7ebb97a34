"""s3-sink: writes records to an S3 bucket, many to an object."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from pydantic import Field

from thalweg import Context, Receipt, RecordError, RejectedError, Secret, UnreachableError, component
from thalweg.graph.types import Record, StreamType, format_type
from thalweg.sdk.records import python_type
from thalweg_components.buckets import Bucket, BucketParams
from thalweg_components.extras import needs
from thalweg_components.files.rows import field_value, plain_value

T = TypeVar("T")
_TYPES = {"jsonl": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}
_NS = 1_000_000_000


class Params(BucketParams):
    """What objects are made of, and when the next one begins."""

    prefix: str = Field("", max_length=512, description="what all keys begin with, as in `readings/`")
    format: Literal["jsonl", "parquet"] = Field("jsonl", description="of the objects")
    max_records: int = Field(10_000, ge=1, le=1_000_000, description="of an object")
    max_bytes: int = Field(4_194_304, ge=1024, le=67_108_864, description="of an object, before it is compressed")
    max_span_s: float = Field(300.0, gt=0, le=31_536_000, description="event time that an object covers, in seconds")
    give_up_after_s: float | None = Field(None, gt=0, description="of an outage; without it, it is waited out")


@dataclass
class Open:
    """The object that is being filled.

    Attributes:
        number: objects before it.
        first_id, first_ns: of its first record.
        rows: its records, as JSON or msgpack.
        size_bytes: of those.
    """

    number: int = 0
    first_id: int = 0
    first_ns: int = 0
    rows: list[bytes] = field(default_factory=list)
    size_bytes: int = 0


@component("s3-sink", version="1.0.0", deterministic=False)
class S3Sink:
    """Writes records to an S3 bucket, many to an object.

    **Ports**: `in` takes records (with `jsonl`, any type). `receipts` has one receipt for each object, under the id of the record that the
    next one begins with: key and number of records.

    **Objects** are named `<prefix><workspace>/<deployment>-<when>/<vertex>/<number>-<first record>.<format>`, so that names rise, and
    deployments and partitions do not meet. One is written when the next record would make it larger than `max_records` or
    `max_bytes`, or lies `max_span_s` of event time behind its first one; the last one at the end. Until then its records are in the
    vertex's state, that is on the log.

    **Params**: `bucket`, `endpoint`, `region`, `prefix`; `format` (`jsonl`; `parquet`, columns as `parquet-file` has them); `max_records`,
    `max_bytes`, `max_span_s`; `give_up_after_s`. **Secrets**: `access_key`, `secret_key`.

    **Delivery**: exactly once. What is in which object depends on the records alone, so after a kill the same object is written again
    under the same name. An outage is waited out, or makes a faulty record after `give_up_after_s`.

    **Faults**: what the server refuses is a fault; a value that the format has no form for is a faulty record. Needs
    `pip install 'thalweg[store]'`, Parquet also `thalweg[tables]`.
    """

    params: Params
    access_key: Secret | None
    secret_key: Secret | None
    state: Open

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """Checks that the format takes what arrives; the port is as declared."""
        if params.format == "parquet" and not isinstance(inputs["in"], Record):
            hint = "format: jsonl"
            raise RejectedError(f"format: Parquet takes records, not {format_type(inputs['in'])}", code="params.invalid", hint=hint)
        return {}

    def setup(self, context: Context) -> None:
        """Makes the client, and what encodes records."""
        self._context, kind = context, context.input_type("in")
        self._bucket = Bucket(self.params, self.access_key, self.secret_key, context.logger)
        self._encode = (msgspec.json.Encoder() if self.params.format == "jsonl" else msgspec.msgpack.Encoder()).encode
        self._check = _row_maker(kind) if self.params.format == "parquet" else None

    def process(self, record: T, context: Context) -> Receipt | None:
        """Adds a record; the receipt of the object before, where it begins a new one."""
        row = self._encode(record)
        if self._check is not None:
            self._check(record)
        state, params = self.state, self.params
        is_full = len(state.rows) >= params.max_records or state.size_bytes + len(row) > params.max_bytes
        is_over = context.time_ns - state.first_ns >= params.max_span_s * _NS
        receipt = self._store() if state.rows and (is_full or is_over) else None
        if not state.rows:
            state.first_id, state.first_ns = context.record_id, context.time_ns
        state.rows.append(row)
        state.size_bytes += len(row)
        return receipt

    def finish(self, context: Context) -> Receipt | None:
        """Writes the last object."""
        return self._store() if self.state.rows else None

    def probe(self) -> None:
        """Asks for one object."""
        Bucket(self.params, self.access_key, self.secret_key, logging.getLogger("thalweg.probe"), attempts=1).probe()

    def _store(self) -> Receipt:
        state, params = self.state, self.params
        place = "/".join(filter(None, (self._context.run.replace("@", "-"), self._context.vertex)))
        key = f"{params.prefix}{place}/{state.number:09d}-{state.first_id:016x}.{params.format}"
        content = b"".join(row + b"\n" for row in state.rows) if params.format == "jsonl" else self._parquet()
        try:
            attempts = self._bucket.put(key, content, _TYPES[params.format], params.give_up_after_s)
        except (UnreachableError, RejectedError) as error:
            raise RecordError(str(error), hint=error.hint) from error
        receipt = Receipt(self._bucket.url(key), f"{len(state.rows)} records", attempts)
        self.state.number, self.state.rows, self.state.size_bytes = state.number + 1, [], 0
        return receipt

    def _parquet(self) -> bytes:
        with needs("tables"):
            import pyarrow as pa
            import pyarrow.parquet as pq

            from thalweg_components.files.arrow_types import arrow_schema

        kind = self._context.input_type("in")
        make, decode = _row_maker(kind), msgspec.msgpack.Decoder(python_type(kind)).decode
        schema, rows = arrow_schema(kind), [make(decode(row)) for row in self.state.rows]
        columns = [pa.array(values, type=column.type) for values, column in zip(zip(*rows, strict=True), schema, strict=True)]
        out = io.BytesIO()
        pq.write_table(pa.Table.from_arrays(columns, schema=schema), out, compression="zstd", store_schema=True)
        return out.getvalue()


def _row_maker(kind: StreamType) -> Callable[[Any], list[Any]]:
    """A function from a record to what Arrow takes for its fields; that raises RecordError where there is nothing."""
    with needs("tables"):
        from thalweg_components.files.arrow_types import arrow_value

    fields = [(name, arrow_value(one)) for name, one in kind.fields] if isinstance(kind, Record) else []

    def row(record: Any) -> list[Any]:
        values = [plain_value(field_value(record, name)) for name, _ in fields]
        return [value if convert is None else convert(value) for value, (_, convert) in zip(values, fields, strict=True)]

    return row
