"""Reads lengths of time as they are written on the command line."""

from __future__ import annotations

import re

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([smhd])")


def parse_duration_s(text: str) -> float | None:
    """Seconds of `90s`, `10m`, `2h` or `1d`; None for anything else."""
    found = _DURATION.fullmatch(text.strip())
    return float(found[1]) * UNITS_S[found[2]] if found else None
