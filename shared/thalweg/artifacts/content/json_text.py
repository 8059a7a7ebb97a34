"""JSON documents and JSON lines: validated without being built as objects."""

from __future__ import annotations

import mmap
from pathlib import Path

import msgspec

from thalweg.artifacts.content.faults import mismatch
from thalweg.artifacts.content.text import check_utf8, decoded

# Raw skips over a value: it validates the syntax and makes nothing. It does not look at UTF-8.
_validate = msgspec.json.Decoder(msgspec.Raw).decode


def check_document(path: Path) -> None:
    """Refuse a file that is not one JSON value in UTF-8; pages of the file are mapped, not held."""
    check_utf8(path)
    if path.stat().st_size == 0:
        raise mismatch(path.name, "the file is empty")
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        try:
            value = _validate(mapped)
        except (msgspec.DecodeError, RecursionError) as error:
            raise mismatch(path.name, str(error)) from None
        del value  # it refers to the map, which could not be closed


def check_lines(path: Path) -> None:
    """Refuse a file without lines, or with one that is not a JSON value in UTF-8; empty lines are skipped."""
    found = False
    for number, line in enumerate(decoded(path), 1):
        if not line.strip():
            continue
        found = True
        try:
            _validate(line)
        except (msgspec.DecodeError, RecursionError) as error:
            raise mismatch(f"line {number}", str(error)) from None
    if not found:
        raise mismatch(path.name, "there is no line in it")
