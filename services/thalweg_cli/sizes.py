"""Reads sizes as they are written on the command line."""

from __future__ import annotations

import re

UNITS_BYTES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d{1,9})([kmgt])(i?b)?", re.IGNORECASE)


def parse_size_bytes(text: str) -> int | None:
    """Bytes of `512M` or `2G` (powers of 1,024); None for anything else."""
    found = _SIZE.fullmatch(text.strip())
    return int(found[1]) * UNITS_BYTES[found[2].lower()] if found else None
