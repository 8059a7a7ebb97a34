"""How values of one stream type become values of another; worked out from the types once, before the first record."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from thalweg import RecordError
from thalweg.errors import RejectedError
from thalweg.graph.accept import find_conflict
from thalweg.graph.types import (
    BOOL,
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
    format_type,
)
from thalweg.sdk.cells import PARSERS
from thalweg_components.text_template import as_text
from thalweg_components.times import from_ns, is_event_time, to_ns

Convert = Callable[[Any], Any]
Fractions = Literal["fail", "nearest", "down"]


@dataclass(frozen=True, slots=True)
class Cast:
    """What comes out, and how; `convert` gives nested records as dicts, and raises RecordError."""

    type: StreamType
    convert: Convert


def cast_to(source: StreamType, target: StreamType, fractions: Fractions = "fail", path: str = "") -> Cast:
    """How `source` becomes `target`. Fields of records that `target` does not name stay as they are.

    Args:
        source: what arrives.
        target: what is wanted.
        fractions: of floats that become ints: a fault, or rounded (to the nearest even one of two), or down.
        path: where in the record it is, for messages.

    Raises:
        RejectedError: `type.unsupported`: there is no way.
    """
    if isinstance(source, Record) and isinstance(target, Record):
        return _record(source, target, fractions, path)
    if isinstance(source, OptionalOf):
        inner = target.item if isinstance(target, OptionalOf) else target
        cast = cast_to(source.item, inner, fractions, path)
        if isinstance(target, OptionalOf):
            return Cast(OptionalOf(cast.type), lambda value: None if value is None else cast.convert(value))
        return Cast(cast.type, _required(cast.convert, path))
    if isinstance(target, OptionalOf):
        cast = cast_to(source, target.item, fractions, path)
        return Cast(OptionalOf(cast.type), cast.convert)
    if isinstance(source, ListOf) and isinstance(target, ListOf):
        item = cast_to(source.item, target.item, fractions, f"{path}[]")
        return Cast(ListOf(item.type), lambda values: [item.convert(value) for value in values])
    if isinstance(source, MapOf) and isinstance(target, MapOf):
        held = cast_to(source.value, target.value, fractions, f"{path}{{}}")
        return Cast(MapOf(held.type), lambda values: {key: held.convert(value) for key, value in values.items()})
    if find_conflict(source, target) is None:
        return Cast(target, lambda value: value)
    convert = _scalar(source, target, fractions)
    if convert is None:
        hint = "from-json reads json values" if source == JSON else None
        at = f"{path}: " if path else ""
        raise RejectedError(f"{at}{format_type(source)} cannot become {format_type(target)}", code="type.unsupported", hint=hint)
    return Cast(target, _located(convert, target, path))


def _record(source: Record, target: Record, fractions: Fractions, path: str) -> Cast:
    known, casts = dict(source.fields), dict[str, Cast]()
    for name, wanted in target.fields:
        if name in known:
            casts[name] = cast_to(known[name], wanted, fractions, f"{path}.{name}" if path else name)
        elif not isinstance(wanted, OptionalOf):
            raise RejectedError(
                f"to: there is no field {path}{'.' if path else ''}{name}",
                code="type.unsupported",
                hint=f"it has: {', '.join(known) or 'none'}",
            )
    kind = Record(tuple((name, casts[name].type if name in casts else kind) for name, kind in source.fields), source.name)

    def convert(record: Any) -> dict[str, Any]:
        values = {name: getattr(record, name) for name in known}
        return values | {name: cast.convert(values[name]) for name, cast in casts.items()}

    return Cast(kind, convert)


def _required(convert: Convert, path: str) -> Convert:
    def checked(value: Any) -> Any:
        if value is None:
            raise RecordError("is null", where=path or "the value")
        return convert(value)

    return checked


def _located(convert: Convert, target: StreamType, path: str) -> Convert:
    def told(value: Any) -> Any:
        try:
            return convert(value)
        except (ValueError, OverflowError):
            shown = repr(value)
            shown = shown if len(shown) <= 60 else f"{shown[:60]}…"
            raise RecordError(f"{shown} is not {format_type(target)}", where=path or None) from None

    return told


def _scalar(source: StreamType, target: StreamType, fractions: Fractions) -> Convert | None:
    """Between scalars; what it cannot convert raises ValueError or OverflowError."""
    if source == STR:
        return PARSERS.get(target)
    if target == STR:
        return as_text if source in (BOOL, INT, FLOAT, TIMESTAMP, DURATION) else None
    if (source, target) == (FLOAT, INT):
        return _ROUNDINGS[fractions]
    return _OTHERS.get((source, target))


def _whole(value: float) -> int:
    if not value.is_integer():
        raise ValueError
    return _in_64_bits(int(value))


def _in_64_bits(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def _truth(value: float) -> bool:
    if value not in (0, 1):
        raise ValueError
    return bool(value)


def _moment(value: int) -> dt.datetime:
    if not is_event_time(value):
        raise ValueError
    return from_ns(value)


_ROUNDINGS: dict[str, Convert] = {
    "fail": _whole,
    "nearest": lambda value: _in_64_bits(round(value)),
    "down": lambda value: _in_64_bits(int(value // 1)),
}
_OTHERS: dict[tuple[StreamType, StreamType], Convert] = {
    (BOOL, INT): int,
    (BOOL, FLOAT): float,
    (INT, BOOL): _truth,
    (FLOAT, BOOL): _truth,
    (INT, TIMESTAMP): _moment,
    (TIMESTAMP, INT): to_ns,
    (FLOAT, DURATION): lambda value: dt.timedelta(seconds=value),
    (INT, DURATION): lambda value: dt.timedelta(seconds=value),
    (DURATION, FLOAT): dt.timedelta.total_seconds,
}
