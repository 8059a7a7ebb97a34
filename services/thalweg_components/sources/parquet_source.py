"""parquet-source: rows of a Parquet file."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from thalweg import At, Context, InputFile, RecordError, component
from thalweg.errors import RejectedError
from thalweg.graph.types import INT, TIMESTAMP, OptionalOf, Record, StreamType
from thalweg.sdk.arrow import stream_type_of
from thalweg_components.times import event_time_ns

Row = TypeVar("Row")
BATCH_ROWS = 4096


class Params(BaseModel):
    """How the file is read."""

    model_config = ConfigDict(extra="forbid")

    time: str | None = Field(None, description="column that is the event time: a timestamp, or an int of UTC ns")


@component("parquet-source", version="1.0.0")
class ParquetSource:
    """Reads a Parquet file row by row; one batch of rows is in memory.

    **Emits** on `out` one record a row, of the type that the file's schema says; a nullable column is `T?`. Dates and times
    become timestamps in UTC (of microseconds), decimals floats, structs records.

    **Files**: `table` (parquet).

    **Params**: `time` (column of the event time; otherwise it is the row's ordinal).

    **Faults**: a file that is no Parquet, or has a column of a type that streams do not have, is rejected before it runs.
    A damaged row group is a fault that names it.

    **Resumes** at the row behind the last committed one, within its row group.
    """

    params: Params
    table: Annotated[InputFile, "parquet"]

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The file's schema as a record."""
        if "table" not in files:
            raise RejectedError("table: the schema is in the file, which is not bound", code="file.unbound")
        try:
            schema = pq.read_schema(str(files["table"]))
            record = Record(tuple((field.name, stream_type_of(field.type, field.nullable)) for field in schema), "Row")
        except KeyError as error:
            raise RejectedError(f"a column is {error.args[0]}, which streams do not have", code="file.invalid") from None
        except (pa.ArrowException, OSError) as error:
            raise RejectedError(f"the file is no Parquet: {str(error).splitlines()[0]}", code="file.invalid") from None
        kind = dict(record.fields).get(params.time) if params.time is not None else INT
        if (kind.item if isinstance(kind, OptionalOf) else kind) not in (TIMESTAMP, INT):
            raise RejectedError(f"time: {params.time!r} is no column of timestamps or ints (ns)", code="params.invalid")
        return {"out": record}

    def read(self, cursor: list[int] | None, context: Context) -> Iterator[At[Row]]:
        """Rows behind the cursor `[row group, rows of it read]`."""
        first_group, skip = cursor if cursor is not None else (0, 0)
        kind = context.record_class("out")
        with pq.ParquetFile(str(self.table.path)) as file:
            for group in range(first_group, file.num_row_groups):
                for done, values in enumerate(_rows(file, group), 1):
                    if group > first_group or done > skip:
                        record = msgspec.convert(values, kind)
                        yield At(record, [group, done], self._time_of(record, group, done))

    def _time_of(self, record: Any, group: int, row: int) -> int | None:
        if self.params.time is None:
            return None
        time_ns = event_time_ns(getattr(record, self.params.time))
        if time_ns is None:
            raise RecordError("the event time is null", where=f"row {row} of row group {group}, column {self.params.time}")
        return time_ns


def _rows(file: pq.ParquetFile, group: int) -> Iterator[dict[str, Any]]:
    try:
        for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group]):
            for row in batch.to_pylist():
                yield {name: _plain(value) for name, value in row.items()}
    except (pa.ArrowException, OSError) as error:
        raise RecordError(str(error).splitlines()[0], where=f"row group {group}", hint="the file is damaged") from None


def _plain(value: Any) -> Any:
    """A value as streams have it: times in UTC, decimals as floats."""
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return dict(value) if value and isinstance(value[0], tuple) else [_plain(item) for item in value]
    return value
