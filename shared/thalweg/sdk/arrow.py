"""Arrow types as stream types."""

from __future__ import annotations

import pyarrow as pa

from thalweg.graph.field_names import field_name
from thalweg.graph.types import (
    BOOL,
    BYTES,
    DURATION,
    FLOAT,
    INT,
    JSON,
    STR,
    TIMESTAMP,
    ListOf,
    MapOf,
    OptionalOf,
    Record,
    StreamType,
)


def stream_type_of(kind: pa.DataType, nullable: bool) -> StreamType:
    """Stream type of an Arrow type. Raises KeyError with the Arrow type's name where there is none."""
    found = _stream_type_of(kind)
    return OptionalOf(found) if nullable else found


def _stream_type_of(kind: pa.DataType) -> StreamType:
    if pa.types.is_dictionary(kind):
        return _stream_type_of(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return ListOf(stream_type_of(kind.value_type, kind.value_field.nullable and pa.types.is_nested(kind.value_type)))
    if pa.types.is_struct(kind):
        fields = [kind.field(index) for index in range(kind.num_fields)]
        return Record(tuple((field_name(field.name), stream_type_of(field.type, field.nullable)) for field in fields))
    if pa.types.is_map(kind) and pa.types.is_string(kind.key_type):
        return MapOf(_stream_type_of(kind.item_type))
    for test, stream in _TESTS:
        if test(kind):
            return stream
    raise KeyError(str(kind))


def _is_wide_decimal(kind: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(kind))


_TESTS = (
    (pa.types.is_boolean, BOOL),
    (pa.types.is_integer, INT),
    (pa.types.is_floating, FLOAT),
    (_is_wide_decimal, FLOAT),
    (pa.types.is_string, STR),
    (pa.types.is_large_string, STR),
    (pa.types.is_binary, BYTES),
    (pa.types.is_large_binary, BYTES),
    (pa.types.is_timestamp, TIMESTAMP),
    (pa.types.is_date, TIMESTAMP),
    (pa.types.is_duration, DURATION),
    (pa.types.is_null, JSON),
)
