"""Records as JSON values that are small enough to be read."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import msgspec

MAX_TEXT, MAX_ITEMS, MAX_FIELDS, MAX_DEPTH = 200, 10, 50, 6


def bounded(value: Any, depth: int = MAX_DEPTH) -> Any:
    """A value as JSON values: long texts and lists are cut, bytes and images are told by their size."""
    if isinstance(value, msgspec.Struct):
        if hasattr(value, "data") and isinstance(value.data, bytes):
            facts = {name: getattr(value, name) for name in value.__struct_fields__ if name != "data"}
            return {**{name: bounded(one, depth - 1) for name, one in facts.items()}, "data": f"{len(value.data):,} bytes"}
        value = {name: getattr(value, name) for name in value.__struct_fields__}
    if isinstance(value, dict | list | tuple) and depth <= 0:
        return "…"
    if isinstance(value, dict):
        shown = {str(name)[:MAX_TEXT]: bounded(inner, depth - 1) for name, inner in list(value.items())[:MAX_FIELDS]}
        return shown if len(value) <= MAX_FIELDS else {**shown, "…": f"{len(value) - MAX_FIELDS:,} more"}
    if isinstance(value, list | tuple):
        shown_items = [bounded(inner, depth - 1) for inner in value[:MAX_ITEMS]]
        return shown_items if len(value) <= MAX_ITEMS else [*shown_items, f"… {len(value) - MAX_ITEMS:,} more"]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}…"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dt.datetime):
        return value.isoformat().replace("+00:00", "Z")
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)[:MAX_TEXT]
