"""Reads event times as they are written on the command line."""

from __future__ import annotations

import re
from datetime import datetime

from thalweg.errors import UsageError
from thalweg_cli.durations import parse_duration_s


def parse_event_time(text: str, first_ns: int) -> int:
    """The event time (UTC ns) that is meant by an RFC 3339 time, `10s` (so long behind the first record), or a number of ns.

    Raises:
        UsageError: `time.invalid`, it is none of these.
    """
    if re.fullmatch(r"-?\d{1,19}", text):
        return int(text)
    if (behind_s := parse_duration_s(text)) is not None:
        return first_ns + round(behind_s * 10**9)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        hint = "as in 2026-11-25T10:00:00Z, 10s (so long behind the first record) or 1500000000 (ns)"
        raise UsageError(f"{text!r} is no event time", code="time.invalid", hint=hint)
    return int(time.replace(microsecond=0).timestamp()) * 10**9 + time.microsecond * 1000
