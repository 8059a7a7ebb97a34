"""Fields of records as plain values, for files."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

_PLAIN = (bool, int, float, str, bytes, type(None), dt.datetime, dt.timedelta)


def field_value(record: Any, name: str) -> Any:
    """A field of a record that is a Struct, a dataclass or a dict."""
    return record[name] if isinstance(record, dict) else getattr(record, name)


def plain_value(value: Any) -> Any:
    """The value with records turned into dicts; bytes, datetimes and durations stay what they are."""
    return value if isinstance(value, _PLAIN) else msgspec.to_builtins(value, builtin_types=(bytes, dt.datetime, dt.timedelta))
