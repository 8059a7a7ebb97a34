"""Text cells of a table: what type a column has, and the value of one cell."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable
from typing import Any

from thalweg.graph.types import BOOL, FLOAT, INT, STR, TIMESTAMP, OptionalOf, StreamType

Parser = Callable[[str], Any]
_INT = re.compile(r"[+-]?(0|[1-9]\d{0,17})\Z")  # a leading zero marks a code (postcode), and 18 digits surely fit 64 bits
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z|[+-]?(nan|inf|infinity)\Z", re.IGNORECASE)
_CODE = re.compile(r"[+-]?0\d+\Z")
_SLASHED = re.compile(r"\d{4}/\d{2}/\d{2}(?![/\d])")
_DATED = re.compile(r"\d{4}[-/]\d{2}[-/]\d{2}(?![-/\d])")
_BOOLS = {"true": True, "false": False, "True": True, "False": False, "TRUE": True, "FALSE": False}


def parse_timestamp(text: str) -> dt.datetime:
    """UTC datetime, of the years 1 to 9999, of an ISO 8601 date or date and time; `2012/01/31` is read as well. Raises ValueError."""
    if not _DATED.match(text):
        raise ValueError(f"{text!r} is not a date")
    moment = dt.datetime.fromisoformat(text.replace("/", "-", 2) if _SLASHED.match(text) else text)
    try:
        return moment.astimezone(dt.UTC) if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
    except OverflowError:
        raise ValueError(f"{text!r} is not in the years 1 to 9999 of UTC") from None


def parse_bool(cell: str) -> bool:
    """`true` and `false` in the usual spellings. Raises ValueError."""
    try:
        return _BOOLS[cell]
    except KeyError:
        raise ValueError(f"{cell!r} is neither true nor false") from None


def parse_int(cell: str) -> int:
    """A decimal int of 64 bits. Raises ValueError; underscores, which Python would take, are refused."""
    value = int(cell)
    if "_" in cell or not -(2**63) <= value < 2**63:
        raise ValueError(f"{cell!r} is not an int of 64 bits")
    return value


def parse_float(cell: str) -> float:
    """A decimal float. Raises ValueError."""
    if "_" in cell:
        raise ValueError(f"{cell!r} is not a float")
    return float(cell)


def _identity(cell: str) -> str:
    return cell


PARSERS: dict[StreamType, Parser] = {BOOL: parse_bool, INT: parse_int, FLOAT: parse_float, TIMESTAMP: parse_timestamp, STR: _identity}


def classify(cell: str) -> StreamType:
    """The narrowest type that holds the cell."""
    if _INT.match(cell):
        return INT
    if _FLOAT.match(cell) and not _CODE.match(cell):
        return FLOAT
    if cell in _BOOLS:
        return BOOL
    try:
        parse_timestamp(cell)
    except ValueError:
        return STR
    return TIMESTAMP


def widen(first: StreamType | None, second: StreamType) -> StreamType:
    """The narrowest type that holds both: int and float make float, all else that differs makes str."""
    if first is None or first == second:
        return second
    return FLOAT if {first, second} == {INT, FLOAT} else STR


class ColumnGuess:
    """Gathers the type of a column cell by cell."""

    def __init__(self, nulls: frozenset[str]) -> None:
        self._nulls, self._has_null = nulls, False
        self._type: StreamType | None = None

    def see(self, cell: str) -> None:
        """Takes one more cell into account."""
        if cell in self._nulls:
            self._has_null = True
        elif self._type != STR:
            self._type = widen(self._type, classify(cell))

    @property
    def type(self) -> StreamType:
        """What is known so far; a column without any value is `str?`."""
        base = self._type if self._type is not None else STR
        return OptionalOf(base) if self._has_null or self._type is None else base


def cell_parser(stream: StreamType, nulls: Iterable[str]) -> Parser:
    """Parser of one column. Cells in `nulls` are None where the type allows it; a plain `str` column keeps them as text.

    Raises:
        KeyError: cells of this type do not exist.
    """
    if not isinstance(stream, OptionalOf):
        return PARSERS[stream]
    parse, empty = PARSERS[stream.item], frozenset(nulls)

    def parse_optional(cell: str) -> bool | int | float | str | dt.datetime | None:
        return None if cell in empty else parse(cell)

    return parse_optional
