"""Stream types as Arrow types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa

from thalweg import RecordError
from thalweg.graph.types import (
    ImageType,
    ListOf,
    MapOf,
    OptionalOf,
    Record,
    Scalar,
    StreamType,
)

Convert = Callable[[Any], Any]
_SCALARS: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "str": pa.string(),
    "bytes": pa.binary(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "duration": pa.duration("us"),
}
_IMAGE = pa.struct([("format", pa.string()), ("width", pa.int64()), ("height", pa.int64()), ("data", pa.binary())])


def arrow_schema(stream: StreamType) -> pa.Schema:
    """Columns for records of a type; a value that is no record gets one column `value`."""
    fields = stream.fields if isinstance(stream, Record) else (("value", stream),)
    return pa.schema([pa.field(name, arrow_type(kind), nullable=isinstance(kind, OptionalOf)) for name, kind in fields])


def arrow_type(stream: StreamType) -> pa.DataType:
    """Arrow type of a stream type; what Arrow has no type for is JSON text."""
    match stream:
        case OptionalOf(item):
            return arrow_type(item)
        case Scalar(name):
            return _SCALARS.get(name, pa.string())
        case ListOf(item):
            return pa.list_(arrow_type(item))
        case MapOf(value):
            return pa.map_(pa.string(), arrow_type(value))
        case Record(fields):
            return pa.struct([(name, arrow_type(kind)) for name, kind in fields])
        case ImageType():
            return _IMAGE
    return pa.string()


def arrow_value(stream: StreamType) -> Convert | None:
    """A function from a plain value to what Arrow takes for it; None where that is the value itself."""
    match stream:
        case OptionalOf(item):
            return _optional_value(arrow_value(item))
        case Scalar("int"):
            return _int64
        case Scalar(name) if name in _SCALARS:
            return None
        case ListOf(item):
            return _list_value(arrow_value(item))
        case MapOf(item):
            return _map_value(arrow_value(item))
        case Record(fields):
            return _record_value({name: inner for name, kind in fields if (inner := arrow_value(kind))})
        case ImageType():
            return None
    return lambda value: msgspec.json.encode(value).decode()


def _int64(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise RecordError(f"{value} is no int of 64 bits with a sign, which is what Parquet has")
    return value


def _optional_value(inner: Convert | None) -> Convert | None:
    return inner and (lambda value: None if value is None else inner(value))


def _list_value(inner: Convert | None) -> Convert | None:
    return inner and (lambda values: list(map(inner, values)))


def _map_value(inner: Convert | None) -> Convert:
    return lambda value: [(key, inner(item) if inner else item) for key, item in value.items()]


def _record_value(inner: dict[str, Convert]) -> Convert | None:
    return (lambda value: value | {name: convert(value[name]) for name, convert in inner.items()}) if inner else None
