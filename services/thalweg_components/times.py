"""Event times: between datetimes, nanoseconds and the fields that hold them."""

from __future__ import annotations

import datetime as dt
from typing import Any

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def to_ns(moment: dt.datetime) -> int:
    """UTC ns since 1970; a moment without a zone is taken as UTC. Exact, as datetimes hold whole microseconds."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
    return (aware - EPOCH) // _MICROSECOND * 1000


def from_ns(time_ns: int) -> dt.datetime:
    """Datetime in UTC, cut to microseconds."""
    return EPOCH + dt.timedelta(microseconds=time_ns // 1000)


def event_time_ns(value: Any) -> int | None:
    """ns of a time field: a datetime, an int that is ns already, or None for null. Raises TypeError on anything else."""
    if isinstance(value, dt.datetime):
        return to_ns(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise TypeError(f"{type(value).__name__} is no event time")
