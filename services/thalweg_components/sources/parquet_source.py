"""parquet-source: rows of a Parquet file."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from thalweg import At, Bad, Context, InputFile, RecordError, component
from thalweg.errors import RejectedError
from thalweg.graph.field_names import field_name
from thalweg.graph.types import INT, TIMESTAMP, ListOf, MapOf, OptionalOf, Record, Scalar, StreamType
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
    become timestamps in UTC, cut to microseconds, decimals floats, structs records. Columns become fields as csv-source says.

    **Files**: `table` (parquet).

    **Params**: `time` (column of the event time; otherwise it is the row's ordinal).

    **Faults**: a file that is no Parquet, or has a column of a type that streams do not have, is rejected before it runs.
    A damaged row group is a fault that names it. A value that streams do not have (a null in a list, a year beyond 9999) is a
    faulty record that names its row.

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
            record = Record(tuple((field_name(field.name), stream_type_of(field.type, field.nullable)) for field in schema), "Row")
        except KeyError as error:
            raise RejectedError(f"a column is {error.args[0]}, which streams do not have", code="file.invalid") from None
        except (pa.ArrowException, OSError) as error:
            raise RejectedError(f"the file is no Parquet: {str(error).splitlines()[0]}", code="file.invalid") from None
        _check_names(record)
        kind = dict(record.fields).get(field_name(params.time)) if params.time is not None else INT
        if (kind.item if isinstance(kind, OptionalOf) else kind) not in (TIMESTAMP, INT):
            raise RejectedError(f"time: {params.time!r} is no column of timestamps or ints (ns)", code="params.invalid")
        return {"out": record}

    def read(self, cursor: list[int] | None, context: Context) -> Iterator[At[Row] | Bad]:
        """Rows behind the cursor `[row group, rows of it read]`."""
        first_group, skip = cursor if cursor is not None else (0, 0)
        record_class, kind = context.record_class("out"), context.output_type("out")
        converts = [(name, _converter(field)) for name, field in kind.fields] if isinstance(kind, Record) else []
        with pq.ParquetFile(str(self.table.path)) as file:
            for group in range(first_group, file.num_row_groups):
                for done, cells in enumerate(_rows(file, group), 1):
                    if group == first_group and done <= skip:
                        continue
                    where = f"row {done} of row group {group}"
                    try:
                        values = {name: convert(cell) for (name, convert), cell in zip(converts, cells(), strict=True)}
                        record = msgspec.convert(values, record_class)
                        time_ns = None if self.params.time is None else event_time_ns(getattr(record, field_name(self.params.time)))
                    except (ValueError, OverflowError, RecordError) as error:  # Arrow's and msgspec's are ValueErrors
                        yield Bad(RecordError(str(error), where=where), where, [group, done])
                    else:
                        yield At(record, [group, done], time_ns)


def _check_names(record: Record) -> None:
    names = [name for name, _ in record.fields]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise RejectedError(f"the file has column {doubled!r} more than once", code="file.invalid", hint="rename one of them")


def _rows(file: pq.ParquetFile, group: int) -> Iterator[Callable[[], list[Any]]]:
    """For each row, what gives its cells; that raises ValueError or OverflowError where one of them has no Python value."""
    try:
        for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group]):
            columns = [_in_microseconds(column) for column in batch.columns]
            try:
                for row in zip(*(column.to_pylist() for column in columns), strict=True):
                    yield partial(list, row)
            except (ValueError, OverflowError):  # of one row; so one by one, before any of this batch was given out
                for index in range(batch.num_rows):
                    yield partial(_cells, columns, index)
    except (pa.ArrowException, OSError) as error:
        raise RecordError(str(error).splitlines()[0], where=f"row group {group}", hint="the file is damaged") from None


def _cells(columns: list[Any], index: int) -> list[Any]:
    return [column[index].as_py() for column in columns]


def _in_microseconds(column: Any) -> Any:
    """Columns of nanoseconds, which Python's datetimes do not hold, cut to microseconds."""
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        return column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)
    return column.cast(pa.duration("us"), safe=False) if column.type == pa.duration("ns") else column


def _converter(kind: StreamType) -> Callable[[Any], Any]:
    """A function from Arrow's Python value to the one that streams have."""
    match kind:
        case OptionalOf(item):
            inner = _converter(item)
            return lambda value: None if value is None else inner(value)
        case Scalar("timestamp"):
            return _to_utc
        case Scalar("float"):
            return lambda value: float(value) if isinstance(value, decimal.Decimal) else value
        case ListOf(item):
            each = _converter(item)
            return lambda values: list(map(each, values))
        case MapOf(item):
            of_value = _converter(item)
            return lambda pairs: {key: of_value(value) for key, value in pairs}
        case Record(fields):
            converts = [(name, _converter(field)) for name, field in fields]
            return lambda value: {name: convert(cell) for (name, convert), cell in zip(converts, value.values(), strict=True)}
    return lambda value: value


def _to_utc(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)
    return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC) if isinstance(value, dt.date) else value
