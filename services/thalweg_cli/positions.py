"""Reads places on a log, and how much of one is kept, as they are written on the command line."""

from __future__ import annotations

import re
from datetime import datetime

from thalweg.api.deployments import Start
from thalweg.errors import UsageError
from thalweg_cli.durations import parse_duration_s

_COUNT = re.compile(r"\d{1,18}")


def parse_start(text: str, now_ns: int) -> Start:
    """The place that is meant by `#1234` or `1234` (a sequence), `10m` (so long ago) or an RFC 3339 time.

    Raises:
        UsageError: `position.invalid`, it is none of these.
    """
    if _COUNT.fullmatch(text.removeprefix("#")) and int(text.removeprefix("#")):
        return Start(position=int(text.removeprefix("#")))
    if (ago_s := parse_duration_s(text)) is not None:
        return Start(time_ns=max(0, now_ns - int(ago_s * 10**9)))
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None and time.year >= 1970:
            return Start(time_ns=int(time.timestamp()) * 10**9 + time.microsecond * 1000)
    except (ValueError, OverflowError):
        pass
    hint = "as in 2026-11-25T10:00:00Z, 10m (so long ago) or 1234 (a position of the log)"
    raise UsageError(f"{text!r} is no time and no position", code="position.invalid", hint=hint)


def parse_keep(text: str) -> dict[str, float]:
    """What a log keeps: `10m`, or `5000` messages; as fields of `thalweg.api.deployments.Deploy`.

    Raises:
        UsageError: `keep.invalid`, it is neither.
    """
    if (seconds := parse_duration_s(text)) is not None:
        return {"keep_s": seconds}
    if _COUNT.fullmatch(text):
        return {"keep_messages": int(text)}
    raise UsageError(f"{text!r} is no duration and no number of messages", code="keep.invalid", hint="as in 10m or 5000")
