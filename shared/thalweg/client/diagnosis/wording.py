"""How facts of a diagnosis are put into words."""

from __future__ import annotations

from datetime import UTC, datetime

from thalweg.wire.commit import END_OF_TIME

BEGINNING = -(2**63)  # the watermark of a stream that has told no time yet
_YEAR_NS = 366 * 86_400 * 1_000_000_000


def records(count: int) -> str:
    """`1 record`, `1,461 records`."""
    return f"{count:,} record{'' if count == 1 else 's'}"


def seconds(value: float) -> str:
    """A length of time."""
    if value < 120:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.0f} h"


def event_time(time_ns: int) -> str:
    """An event time; a source without times counts records instead."""
    if time_ns in (BEGINNING, END_OF_TIME):
        return "its beginning" if time_ns == BEGINNING else "its end"
    if 0 <= time_ns < _YEAR_NS // 366:
        return f"{time_ns:,} ns"
    return clock(time_ns)


def clock(time_ns: int) -> str:
    """A time of day, UTC."""
    try:
        return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"{time_ns} ns"


def listed(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "nothing"
