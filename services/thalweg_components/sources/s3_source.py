"""s3-source: objects of an S3 bucket, and what is in them."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, model_validator

from thalweg import At, Bad, Context, InputFile, RecordError, RejectedError, Secret, component
from thalweg.graph.accept import find_conflict
from thalweg.graph.types import BYTES, STR, TIMESTAMP, ImageType, Record, StreamType, format_type
from thalweg_components.buckets import Bucket, BucketParams, Found
from thalweg_components.extras import needs
from thalweg_components.payloads import Payloads, check_time_field
from thalweg_components.times import to_ns
from thalweg_components.type_params import MAX_TYPE, concrete_type

Value = TypeVar("Value")
_ROWS = ("jsonl", "csv", "parquet")


class Params(BucketParams):
    """Which objects, and what is in them."""

    prefix: str = Field("", max_length=1024, description="what the keys begin with")
    format: Literal["bytes", "image", "jsonl", "csv", "parquet"] = Field("bytes", description="what an object is")
    schema_: str | None = Field(None, alias="schema", max_length=MAX_TYPE, description="stream type of a row, as in `record{t: float}`")
    time: str | None = Field(None, description="field of a row that is the event time: a timestamp, or an int of UTC ns")
    follow: bool = Field(False, description="true: goes on with what comes behind; false: ends")
    poll_s: float = Field(10.0, ge=0.05, le=86_400, description="pause between two looks, in seconds")
    max_object_bytes: int = Field(268_435_456, ge=1, le=17_179_869_184, description="of an object; a larger one is faulty")

    @model_validator(mode="after")
    def _fits(self) -> Params:
        if (self.format in _ROWS) != (self.schema_ is not None):
            raise ValueError(f"schema: {'declare it' if self.format in _ROWS else 'there is none'} for format {self.format}")
        if self.schema_ is not None and not isinstance(concrete_type(self.schema_), Record):
            raise ValueError("schema: a row is a record")
        check_time_field(concrete_type(self.schema_) if self.schema_ is not None else BYTES, self.time, "time")
        return self


@component("s3-source", version="1.0.0", deterministic=False)
class S3Source:
    """Objects of an S3 bucket in the order of their keys, and what is in them.

    **Emits** on `out`, with `format`

    - `bytes`, `image`: for each object `record{key: str, modified: timestamp, data: bytes}`, or `image: image` (JPEG or PNG);
    - `jsonl`, `csv`, `parquet`: its rows, of the `schema`, read as `jsonl-source`, `csv-source` and `parquet-source` do; a CSV or Parquet
      file must have just these columns, in this order.

    **Params**: `bucket`, `endpoint`, `region`, `prefix`; `format`, `schema`, `time` (field of a row that is the event time; without it,
    its ordinal; objects have the time when they were stored); `follow` with `poll_s`; `max_object_bytes`. **Secrets**: `access_key`,
    `secret_key`.

    **Resumes** exactly, within an object too. What is new is told by its key: an object whose key sorts before one that was read is never
    seen, and neither is an object that is written anew, so let keys rise, as dates do.

    **Faults**: an object that is too large or not of the format is a faulty record that names its key, as is a row. An outage is waited
    out, a server that refuses fails the vertex. Needs `pip install 'thalweg[store]'`, Parquet also `thalweg[tables]`.
    """

    params: Params
    access_key: Secret | None
    secret_key: Secret | None

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """What the format makes."""
        if params.schema_ is not None:
            return {"out": concrete_type(params.schema_)}
        held = ("image", ImageType(None)) if params.format == "image" else ("data", BYTES)
        return {"out": Record((("key", STR), ("modified", TIMESTAMP), held), "Object")}

    def read(self, cursor: list[Any] | None, context: Context) -> Iterator[At[Value] | Bad]:
        """Objects behind the cursor `[key, …]`; what follows the key says where in that object, nothing that it is done."""
        bucket = Bucket(self.params, self.access_key, self.secret_key, context.logger)
        key, *inner = cursor or [""]
        if inner:
            yield from self._rows_of(bucket, key, inner, context)
        while True:
            for found in bucket.keys(self.params.prefix, key):
                key = found.key
                yield from self._object(bucket, found, context)
            if not self.params.follow:
                return
            time.sleep(self.params.poll_s)

    def probe(self) -> None:
        """Asks for one object."""
        Bucket(self.params, self.access_key, self.secret_key, logging.getLogger("thalweg.probe"), attempts=1).probe()

    def _object(self, bucket: Bucket, found: Found, context: Context) -> Iterator[At[Any] | Bad]:
        if found.size_bytes > self.params.max_object_bytes:
            fault = RecordError(f"{found.size_bytes:,} bytes are more than max_object_bytes", where=found.key)
            yield Bad(fault, found.key, [found.key])
        elif self.params.format in _ROWS:
            yield from self._rows_of(bucket, found.key, None, context)
        else:
            yield from self._whole(bucket, found, context)

    def _whole(self, bucket: Bucket, found: Found, context: Context) -> Iterator[At[Any] | Bad]:
        with tempfile.TemporaryDirectory(prefix="thalweg-s3-") as folder:
            path = Path(folder) / "object"
            if not bucket.download(found.key, path):
                return
            data = path.read_bytes()
        try:
            held = Payloads(ImageType(None)).read(data) if self.params.format == "image" else data
        except RecordError as error:
            yield Bad(RecordError(str(error), where=found.key), found.key, [found.key])
            return
        yield At(context.record_class("out")(found.key, found.modified, held), [found.key], to_ns(found.modified))

    def _rows_of(self, bucket: Bucket, key: str, inner: list[Any] | None, context: Context) -> Iterator[At[Any] | Bad]:
        with tempfile.TemporaryDirectory(prefix="thalweg-s3-") as folder:
            path = Path(folder) / "object"
            if not bucket.download(key, path):
                return
            try:
                reader = _reader(self.params, path)
                for one in reader.read(inner, context):
                    if isinstance(one, Bad):
                        yield Bad(RecordError(str(one.error), where=key, hint=one.error.hint), one.raw, [key, *one.cursor])
                    else:
                        yield At(one.value, [key, *one.cursor], one.time_ns)
            except (RecordError, RejectedError) as error:  # of the object as a whole
                yield Bad(RecordError(str(error), where=key, hint=error.hint), key, [key])


def _reader(params: Params, path: Path) -> Any:
    """The source that reads such files, over one. Raises RejectedError where the file has other columns."""
    assert params.schema_ is not None
    schema = concrete_type(params.schema_)
    assert isinstance(schema, Record)
    reader: Any
    if params.format == "jsonl":
        from thalweg_components.sources import jsonl_source

        reader = jsonl_source.JsonlSource()
        reader.params, reader.lines = jsonl_source.Params(record=params.schema_, time=params.time), InputFile(path)
        return reader
    if params.format == "csv":
        from thalweg_components.sources import csv_source

        reader = csv_source.CsvSource()
        columns = {name: format_type(kind) for name, kind in schema.fields}
        reader.params = csv_source.Params(columns=columns, time=params.time)
    else:
        with needs("tables"):
            from thalweg_components.sources import parquet_source

        reader = parquet_source.ParquetSource()
        reader.params = parquet_source.Params(time=params.time)
    reader.table = InputFile(path)
    _check_columns(reader.resolve_types(reader.params, {}, {"table": path})["out"], schema)
    return reader


def _check_columns(has: Record, wanted: Record) -> None:
    names = [name for name, _ in has.fields]
    if names != [name for name, _ in wanted.fields]:
        raise RejectedError(f"it has the columns {', '.join(names)[:200]}", code="file.invalid", hint="the schema names others")
    if (conflict := find_conflict(has, wanted, {})) is not None:
        raise RejectedError(f"{conflict.path}: {conflict.reason}", code="file.invalid")
