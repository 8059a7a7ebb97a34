"""Stream types as Arrow types."""

from __future__ import annotations

import pyarrow as pa

from thalweg.graph.types import (
    ImageType,
    ListOf,
    MapOf,
    OptionalOf,
    Record,
    Scalar,
    StreamType,
)

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


def is_json_text(stream: StreamType) -> bool:
    """Whether `arrow_type` of it is JSON text: its values must be encoded first."""
    match stream:
        case OptionalOf(item) | ListOf(item):
            return is_json_text(item)
        case MapOf(value):
            return is_json_text(value)
        case Scalar(name):
            return name not in _SCALARS
        case Record(fields):
            return any(is_json_text(kind) for _, kind in fields)
    return not isinstance(stream, ImageType)
