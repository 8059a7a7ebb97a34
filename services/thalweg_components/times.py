"""Event times: between datetimes, nanoseconds and the fields that hold them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from thalweg import RecordError

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
SHORTEST_S, LONGEST_S = 1e-6, 1e9  # of params: the resolution of timestamps; thirty years
_EARLIEST_NS, _LATEST_NS = -(2**63) + 1, 2**63 - 2  # the ends themselves stand for "never"
_MICROSECOND = dt.timedelta(microseconds=1)


def to_ns(moment: dt.datetime) -> int:
    """UTC ns since 1970; a moment without a zone is taken as UTC. Exact, as datetimes hold whole microseconds."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
    return (aware - EPOCH) // _MICROSECOND * 1000


def from_ns(time_ns: int) -> dt.datetime:
    """Datetime in UTC, cut to microseconds."""
    return EPOCH + dt.timedelta(microseconds=time_ns // 1000)


def is_event_time(time_ns: int) -> bool:
    """Whether 64 bits of ns hold it: from 1677-09-21 to 2262-04-11."""
    return _EARLIEST_NS <= time_ns <= _LATEST_NS


def event_time_ns(value: Any) -> int:
    """ns of a time field: a datetime, or an int that is ns already.

    Raises:
        RecordError: it is null, of another type, or not from 1677-09-21 to 2262-04-11, which is what 64 bits of ns hold.
    """
    if value is None:
        raise RecordError("the event time is null")
    if isinstance(value, bool) or not isinstance(value, int | dt.datetime):
        raise RecordError(f"{type(value).__name__} is no event time")
    time_ns = value if isinstance(value, int) else to_ns(value)
    if not is_event_time(time_ns):
        raise RecordError(f"the event time {value} is not between the years 1677 and 2262")
    return time_ns
