"""What an expression can name: the fields of a record, nested ones by dotted names, and how to take them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from thalweg.graph.types import INT, JSON, STR, ImageType, ListOf, MapOf, OptionalOf, Record, Scalar, StreamType, UnionOf

_IMAGE_FIELDS: dict[str, StreamType] = {"format": STR, "width": INT, "height": INT}
_PLAIN = (bool, int, float, str, bytes, type(None), dt.datetime, dt.timedelta)
Getter = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """What an expression can name: its type, how to take it from a record, and how to take it as CEL wants it."""

    type: StreamType
    take: Getter
    read: Getter


Fields = dict[str, Field]


def fields_of(stream: StreamType) -> Fields:
    """Dotted name -> field, for everything that an expression can name; outermost first."""
    if isinstance(stream, Record):
        return _record_fields(stream, "", _itself)
    found = {"value": Field(stream, _itself, _to_plain)}
    return found | (_image_fields("value", _itself) if isinstance(stream, ImageType) else {})


def _record_fields(record: Record, prefix: str, base: Getter) -> Fields:
    found: Fields = {}
    for name, stream in record.fields:
        take = _getter(base, name)
        found[prefix + name] = Field(stream, take, take if isinstance(stream, Scalar) and stream != JSON else _plain_getter(take))
        if isinstance(stream, Record):
            found |= _record_fields(stream, f"{prefix}{name}.", take)
        elif isinstance(stream, ImageType):
            found |= _image_fields(prefix + name, take)
    return found


def _image_fields(name: str, base: Getter) -> Fields:
    takers = {field: _getter(base, field) for field in _IMAGE_FIELDS}
    return {f"{name}.{field}": Field(_IMAGE_FIELDS[field], take, take) for field, take in takers.items()}


def _itself(value: Any) -> Any:
    return value


def _getter(base: Getter, name: str) -> Getter:
    def take(value: Any) -> Any:
        held = base(value)
        return held[name] if isinstance(held, dict) else getattr(held, name)

    return take


def _plain_getter(take: Getter) -> Getter:
    return lambda value: _to_plain(take(value))


def _to_plain(value: Any) -> Any:
    return value if isinstance(value, _PLAIN) else msgspec.to_builtins(value, builtin_types=(bytes, dt.datetime, dt.timedelta))


def may_be_null(stream: StreamType) -> bool:
    """Whether there may be a null in values of the type."""
    match stream:
        case OptionalOf() | UnionOf():
            return True
        case ListOf(item) | MapOf(item):
            return may_be_null(item)
    return stream == JSON
