"""Values of stream types as databases hold them: on the way into columns, and out of them."""

from __future__ import annotations

import datetime as dt
import decimal
import ipaddress
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from thalweg import RecordError
from thalweg.graph.types import (
    BOOL,
    BYTES,
    DURATION,
    FLOAT,
    INT,
    JSON,
    STR,
    TIMESTAMP,
    ImageType,
    ListOf,
    OptionalOf,
    StreamType,
    format_type,
)
from thalweg.sdk.records import python_type
from thalweg_components.payloads import payload_of

Change = Callable[[Any], Any]
_SCALARS = (BOOL, INT, FLOAT, STR, BYTES, TIMESTAMP, DURATION)
_MAX_SHOWN = 60


def bare(kind: StreamType) -> StreamType:
    """The type without its `?`."""
    return bare(kind.item) if isinstance(kind, OptionalOf) else kind


def is_scalar(kind: StreamType) -> bool:
    """Whether a column holds it as it is; an image counts as the bytes of its file."""
    return kind in _SCALARS or isinstance(kind, ImageType)


def to_column(kind: StreamType, *, as_json: bool, arrays: bool) -> Change:
    """How values of a type are given to a database; None stays null.

    Args:
        kind: of the field.
        as_json: the column holds JSON, so every value becomes JSON text.
        arrays: the database has arrays, so a list of scalars stays one.
    """
    kind = bare(kind)
    if as_json or not (is_scalar(kind) or (arrays and isinstance(kind, ListOf) and is_scalar(bare(kind.item)))):
        return _or_null(lambda value: msgspec.json.encode(value).decode())
    if isinstance(kind, ListOf):
        item = to_column(kind.item, as_json=False, arrays=False)
        return _or_null(lambda values: [item(one) for one in values])
    if isinstance(kind, ImageType):
        return _or_null(payload_of)
    return lambda value: value


def from_column(kind: StreamType, *, json_is_text: bool = False) -> Change:
    """How what a database has given becomes a value of a type.

    Args:
        kind: that is wanted.
        json_is_text: the database gives JSON as text; else text that is to be `json` is a JSON string.

    The returned function raises RecordError where it cannot.
    """
    wanted, inner = python_type(kind), bare(kind)
    decode = msgspec.json.Decoder(wanted).decode
    is_decoded = not is_scalar(inner) and (json_is_text or inner != JSON)

    def change(value: Any) -> Any:
        try:
            if is_decoded and isinstance(value, str):
                return decode(value)
            return msgspec.convert(_as_held(value, inner), wanted)
        except (ValueError, OverflowError, RecursionError, decimal.InvalidOperation) as error:
            shown = repr(value)[:_MAX_SHOWN]
            raise RecordError(f"{shown} is not {format_type(kind)}: {str(error)[:200]}") from None

    return change


def _or_null(change: Change) -> Change:
    return lambda value: None if value is None else change(value)


def _as_held(value: Any, kind: StreamType) -> Any:
    """The value in the Python class that stands for its stream type; what fits none is left to be refused."""
    if isinstance(kind, ListOf) and isinstance(value, list | tuple):
        return [_as_held(one, bare(kind.item)) for one in value]
    match value:
        case decimal.Decimal():
            return _number(value, kind)
        case dt.datetime():
            return value if value.tzinfo is not None else value.replace(tzinfo=dt.UTC)
        case dt.date():
            return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC) if kind == TIMESTAMP else value.isoformat()
        case dt.time():
            return value.isoformat()
        case memoryview() | bytearray():
            return bytes(value)
        case uuid.UUID() | ipaddress.IPv4Address() | ipaddress.IPv6Address():
            return str(value)
        case int() if kind == BOOL and value in (0, 1):  # SQLite has no other truth
            return bool(value)
        case str() if kind == TIMESTAMP:
            return _as_held(dt.datetime.fromisoformat(value), kind)
        case int() | float() if kind == DURATION:
            return dt.timedelta(seconds=value)
    return value


def _number(value: decimal.Decimal, kind: StreamType) -> Any:
    if kind == STR:
        return str(value)
    if kind == INT:
        if value != value.to_integral_value():
            raise ValueError("it is no whole number")
        return int(value)
    return float(value)
