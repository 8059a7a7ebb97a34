"""Where a value differs from the one that is expected, with tolerance for numbers and times; pure."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

MAX_SHOWN = 120
_KEPT = (bytes, datetime, timedelta)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far two numbers may be apart: by the larger of `relative` times the larger one, and `absolute`."""

    relative: float = 0.0
    absolute: float = 0.0


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a value may be from the expected one.

    Attributes:
        bounds: of numbers.
        fields: own bounds by the path of a field; places in lists are left out of paths (`boxes.x`).
        seconds: between timestamps, and between durations.
        ignored: paths of fields that are not compared.
    """

    bounds: Bounds = field(default_factory=Bounds)
    fields: Mapping[str, Bounds] = field(default_factory=dict)
    seconds: float = 0.0
    ignored: frozenset[str] = frozenset()


EXACT = Tolerance()


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place at which two values differ.

    Attributes:
        path: of the field, `boxes[2].x`; empty for the value as a whole.
        got, expected: what is there, as text; "nothing" where a field is not there at all.
    """

    path: str
    got: str
    expected: str

    def __str__(self) -> str:
        return f"{self.path or 'value'} is {self.got}, expected {self.expected}"


def plain(value: Any) -> Any:
    """A decoded value as dicts, lists and scalars; bytes, timestamps and durations stay."""
    return msgspec.to_builtins(value, builtin_types=_KEPT)


def find_difference(got: Any, expected: Any, tolerance: Tolerance = EXACT) -> Difference | None:
    """The first difference between a value and the expected one; None where there is none within the tolerance.

    Numbers are compared as numbers, whether int or float; NaN is equal to NaN, an infinity only to itself. A bool is no number. Where
    the value has bytes, a timestamp or a duration, the expected one may be its text in JSON.

    Args:
        got: as `plain` gives it.
        expected: the same, or as read from JSON.
        tolerance: how far they may be apart.
    """
    return _find(got, expected, tolerance, "", "")


def _find(got: Any, expected: Any, tolerance: Tolerance, path: str, key: str) -> Difference | None:
    if isinstance(got, dict) and isinstance(expected, dict):
        return _in_maps(got, expected, tolerance, path, key)
    if isinstance(got, list | tuple) and isinstance(expected, list | tuple):
        return _in_lists(got, expected, tolerance, path, key)
    if _is_equal(got, expected, tolerance, key):
        return None
    return Difference(path, shown(got), shown(expected))


def _in_maps(got: dict[Any, Any], expected: dict[Any, Any], tolerance: Tolerance, path: str, key: str) -> Difference | None:
    for name in [*expected, *(one for one in got if one not in expected)]:
        inner, own = f"{path}.{name}".lstrip("."), f"{key}.{name}".lstrip(".")
        if own in tolerance.ignored:
            continue
        if name not in got or name not in expected:
            has, wants = ("nothing", shown(expected[name])) if name not in got else (shown(got[name]), "nothing")
            return Difference(inner, has, wants)
        found = _find(got[name], expected[name], tolerance, inner, own)
        if found is not None:
            return found
    return None


def _in_lists(got: Any, expected: Any, tolerance: Tolerance, path: str, key: str) -> Difference | None:
    for index, (one, other) in enumerate(zip(got, expected, strict=False)):
        found = _find(one, other, tolerance, f"{path}[{index}]", key)
        if found is not None:
            return found
    if len(got) == len(expected):
        return None
    return Difference(path, f"a list of {len(got):,}", f"a list of {len(expected):,}")


def _is_equal(got: Any, expected: Any, tolerance: Tolerance, key: str) -> bool:
    if _is_number(got) and _is_number(expected):
        return is_close(got, expected, tolerance.fields.get(key, tolerance.bounds))
    if isinstance(got, datetime):
        read = _as_time(expected)
        return read is not None and abs((_aware(got) - read).total_seconds()) <= tolerance.seconds
    if isinstance(got, timedelta):
        span = expected if isinstance(expected, timedelta) else _converted(expected, timedelta)
        return span is not None and abs((got - span).total_seconds()) <= tolerance.seconds
    if isinstance(got, bytes) and isinstance(expected, str):
        return got == _as_bytes(expected)
    return type(got) is type(expected) and bool(got == expected)


def is_close(got: float, expected: float, bounds: Bounds) -> bool:
    """Whether two numbers are equal within bounds; symmetric."""
    if got == expected:
        return True
    try:
        one, other = float(got), float(expected)
    except OverflowError:
        return False
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    if math.isinf(one) or math.isinf(other):
        return False
    return abs(got - expected) <= max(bounds.absolute, bounds.relative * max(abs(one), abs(other)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_time(value: Any) -> datetime | None:
    found = value if isinstance(value, datetime) else _converted(value, datetime)
    return None if found is None else _aware(found)


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _converted(value: Any, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(value, kind) if isinstance(value, str) else None
    except msgspec.ValidationError:
        return None


def _as_bytes(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def shown(value: Any) -> str:
    """A value as a message shows it, on one line of bounded length."""
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    text = json.dumps(msgspec.to_builtins(value), ensure_ascii=False) if isinstance(value, dict | list | tuple) else repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
