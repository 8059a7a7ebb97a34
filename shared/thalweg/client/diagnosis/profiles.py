"""What records are like: their fields, types, nulls, values, sizes, times. Pure."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

MAX_DISTINCT = 64  # texts of a field; with more of them they are no enumeration
MAX_FIELDS, MAX_DEPTH, MAX_TEXT = 500, 4, 200
ITSELF = "value"  # the field's name of a value that is no record


@dataclass(frozen=True, slots=True)
class One:
    """A record: decoded from msgpack without its type, its size there, its event time, its number among all of its port.

    Event time is UTC ns, None where it has none; the number is None where it is not known.
    """

    value: Any
    size_bytes: int
    time_ns: int | None
    ordinal: int | None = None


@dataclass(slots=True)
class FieldProfile:
    """One field.

    Attributes:
        count: records that have it, null or not.
        nulls: of these, null.
        kinds: how many of each kind: `int`, `float`, `str`, `bool`, `bytes`, `timestamp`, `list`, `map`.
        low, high: of its numbers; None without any.
        texts: distinct texts, cut; None for too many.
        last: the newest number.
        rises: each number is higher than the one before, as those of a counter or a clock.
    """

    count: int = 0
    nulls: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    low: float | None = None
    high: float | None = None
    texts: set[str] | None = field(default_factory=set)
    last: float | None = None
    rises: bool = True


@dataclass(frozen=True, slots=True)
class Profile:
    """Many records. `rate`: in a second of event time; None where event times do not say."""

    records: int
    fields: dict[str, FieldProfile]
    size_p50: int
    size_p99: int
    rate: float | None


def profile(records: Iterable[One]) -> Profile:
    """What records are like, in one pass."""
    fields: dict[str, FieldProfile] = {}
    sizes: list[int] = []
    times: list[tuple[int, int]] = []
    for one in records:
        sizes.append(one.size_bytes)
        if one.time_ns is not None and one.ordinal is not None:
            times.append((one.time_ns, one.ordinal))
        for name, value in flat(one.value):
            if name in fields or len(fields) < MAX_FIELDS:
                _see(fields.setdefault(name, FieldProfile()), value)
    sizes.sort()
    return Profile(len(sizes), fields, _quantile(sizes, 0.5), _quantile(sizes, 0.99), _rate(times))


def flat(value: Any) -> Iterator[tuple[str, Any]]:
    """Fields by dotted name; those of an inner record too, beside itself."""
    if not isinstance(value, dict):
        yield ITSELF, value
        return
    stack = [("", value, 0)]
    while stack:
        prefix, record, depth = stack.pop()
        for key, inner in record.items():
            name = f"{prefix}{key}"
            yield name, inner
            if isinstance(inner, dict) and depth < MAX_DEPTH:
                stack.append((f"{name}.", inner, depth + 1))


def kind_of(value: Any) -> str:
    """How a value is told from others on the wire; `null` for None."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, dt.datetime):
        return "timestamp"
    found = {int: "int", float: "float", str: "str", bytes: "bytes", list: "list", tuple: "list", dict: "map"}
    return found.get(type(value), type(value).__name__)


def _see(profile: FieldProfile, value: Any) -> None:
    profile.count += 1
    kind = kind_of(value)
    if kind == "null":
        profile.nulls += 1
        return
    profile.kinds[kind] += 1
    if kind in ("int", "float") and math.isfinite(value):
        profile.low = value if profile.low is None else min(profile.low, value)
        profile.high = value if profile.high is None else max(profile.high, value)
        profile.rises = profile.rises and (profile.last is None or value > profile.last)
        profile.last = value
    elif kind == "str" and profile.texts is not None:
        profile.texts.add(value[:MAX_TEXT])
        if len(profile.texts) > MAX_DISTINCT:
            profile.texts = None


def _quantile(ordered: list[int], share: float) -> int:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0


def _rate(times: list[tuple[int, int]]) -> float | None:
    """By the earliest and the latest record, and how many are between, seen or not. Ordinals in the place of times are no times."""
    if len(times) < 2:
        return None
    (first_ns, first), (last_ns, last) = min(times), max(times)
    if last <= first or last_ns - first_ns <= last - first:
        return None
    return (last - first) / ((last_ns - first_ns) / 1e9)
