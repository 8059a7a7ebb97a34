"""Checks of what a run has done: each takes records one at a time, and gives a verdict at the end; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from thalweg.graph.pipeline import Count
from thalweg.sdk.values import RecordError
from thalweg.testing.comparing import EXACT, Difference, Tolerance, find_difference, plain, shown

Condition = Callable[[Any], bool]
"""Whether a record is as an expression says; raises RecordError where the expression has no value for it."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The first record that breaks an expectation.

    Attributes:
        index: its place, from 0.
        value: as text, on one line.
        difference: where it differs from the golden one; None where it is not compared with one.
    """

    index: int
    value: str
    difference: Difference | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an expectation is met; why, in words; and the first record that breaks it."""

    is_met: bool
    reason: str
    broken: Broken | None = None


class Check(Protocol):
    """One condition on the records of a port, fed in order."""

    def take(self, value: Any) -> None:
        """The next record, decoded."""

    def verdict(self) -> Verdict:
        """What is to be said after the last record; once."""


class EveryRecord:
    """A condition is true for each record, of which there must be one."""

    def __init__(self, condition: Condition) -> None:
        self._condition, self._count, self._why = condition, 0, ""
        self._broken: Broken | None = None

    def take(self, value: Any) -> None:
        """Looks no further than the first record that breaks it."""
        if self._broken is None:
            holds, why = _tested(self._condition, value)
            if not holds:
                self._broken, self._why = Broken(self._count, shown(plain(value))), why
        self._count += 1

    def verdict(self) -> Verdict:
        """Met when there was a record and none broke it."""
        if self._broken is not None:
            return Verdict(False, f"{self._why or 'is not true'} for record {self._broken.index:,}", self._broken)
        if not self._count:
            return Verdict(False, "there is no record")
        return Verdict(True, f"true for {_records(self._count)}")


class AnyRecord:
    """A condition is true for a record."""

    def __init__(self, condition: Condition) -> None:
        self._condition, self._count = condition, 0
        self._found: int | None = None

    def take(self, value: Any) -> None:
        """Looks no further than the first record that fulfils it."""
        if self._found is None and _tested(self._condition, value)[0]:
            self._found = self._count
        self._count += 1

    def verdict(self) -> Verdict:
        """Met when it was true once."""
        if self._found is None:
            return Verdict(False, f"is true for none of {_records(self._count)}")
        return Verdict(True, f"true for record {self._found:,}")


class NoRecord:
    """A condition is true for no record."""

    def __init__(self, condition: Condition) -> None:
        self._condition, self._count, self._why = condition, 0, ""
        self._broken: Broken | None = None

    def take(self, value: Any) -> None:
        """Looks no further than the first record that breaks it; one that the expression cannot be told of breaks it as well."""
        if self._broken is None:
            holds, why = _tested(self._condition, value)
            if holds or why:
                self._broken, self._why = Broken(self._count, shown(plain(value))), why
        self._count += 1

    def verdict(self) -> Verdict:
        """Met when it was never true; also where there is no record."""
        if self._broken is not None:
            return Verdict(False, f"{self._why or 'is true'} for record {self._broken.index:,}", self._broken)
        return Verdict(True, f"true for none of {_records(self._count)}")


class RecordAt:
    """A condition is true for the record at a place.

    Args:
        condition: what must be true.
        index: from 0; None for the last record.
    """

    def __init__(self, condition: Condition, index: int | None) -> None:
        self._condition, self._index, self._count = condition, index, 0
        self._value: Any = None

    def take(self, value: Any) -> None:
        """Keeps the one record."""
        if self._index is None or self._count == self._index:
            self._value = value
        self._count += 1

    def verdict(self) -> Verdict:
        """Met when the record is there, and the condition true for it."""
        index = self._count - 1 if self._index is None else self._index
        if not 0 <= index < self._count:
            what = "there is no record" if not self._count else f"there is no record {index:,}, only {self._count:,}"
            return Verdict(False, what)
        holds, why = _tested(self._condition, self._value)
        if holds:
            return Verdict(True, f"true for record {index:,}")
        return Verdict(False, f"{why or 'is not true'} for record {index:,}", Broken(index, shown(plain(self._value))))


class GoldenRecords:
    """Records are those of a golden file, in order, within a tolerance.

    Args:
        expected: the golden records, read as they are needed.
        tolerance: how far they may be apart.
    """

    def __init__(self, expected: Iterator[Any], tolerance: Tolerance = EXACT) -> None:
        self._expected, self._tolerance, self._count = expected, tolerance, 0
        self._broken: Broken | None = None
        self._surplus: Broken | None = None

    def take(self, value: Any) -> None:
        """Compares it with the next golden record, up to the first difference."""
        if self._broken is None and self._surplus is None:
            self._compare(plain(value))
        self._count += 1

    def _compare(self, value: Any) -> None:
        expected = next(self._expected, _END)
        if expected is _END:
            self._surplus = Broken(self._count, shown(value))
            return
        found = find_difference(value, expected, self._tolerance)
        if found is not None:
            self._broken = Broken(self._count, shown(value), found)

    def verdict(self) -> Verdict:
        """Met when every record has its equal, and no golden one is left over."""
        if self._broken is not None:
            return Verdict(False, f"record {self._broken.index:,}: {self._broken.difference}", self._broken)
        if self._surplus is not None:
            index = self._surplus.index
            return Verdict(False, f"got {_records(self._count)}, the golden file has {index:,}", self._surplus)
        left = next(self._expected, _END)
        if left is not _END:
            total = self._count + 1 + sum(1 for _ in self._expected)
            missing = Difference("", "nothing", shown(left))
            broken = Broken(self._count, "nothing", missing)
            return Verdict(False, f"got {_records(self._count)}, the golden file has {total:,}", broken)
        return Verdict(True, f"{_records(self._count)} as in the golden file")


_END = object()


def check_count(what: str, got: int, wanted: Count) -> Verdict:
    """Whether a number is within bounds; `what` names what is counted, in the plural."""
    low, high = wanted.min, wanted.max
    is_met = (low is None or got >= low) and (high is None or got <= high)
    return Verdict(is_met, f"{got:,} {what}" if is_met else f"got {got:,} {what}, expected {bounds_text(low, high)}")


def check_digest(got: str, wanted: str) -> Verdict:
    """Whether a digest is, or begins with, the wanted one."""
    if got.startswith(wanted):
        return Verdict(True, f"digest {got[: max(19, len(wanted))]}")
    return Verdict(False, f"got {got}, expected {wanted}")


def check_failure(vertex: str | None, code: str, message: str, wanted: tuple[str | None, str | None, str | None]) -> Verdict:
    """Whether a run failed as it must.

    Args:
        vertex: which one failed; None where none did.
        code, message: of its failure.
        wanted: vertex, code, part of the message; None where any will do.
    """
    if vertex is None:
        return Verdict(False, "the run did not fail")
    told = f"{vertex} failed with {code}: {message}"
    got = (vertex == wanted[0], code == wanted[1], wanted[2] is not None and wanted[2] in message)
    wrong = [
        f"{name} {text}"
        for name, text, fits in zip(("vertex", "code", "message"), wanted, got, strict=True)
        if text is not None and not fits
    ]
    return Verdict(not wrong, told if not wrong else f"{told}; expected {', '.join(wrong)}")


def bounds_text(low: int | None, high: int | None) -> str:
    """Bounds of a number in words."""
    if low == high and low is not None:
        return f"exactly {low:,}"
    if high is None:
        return f"at least {low or 0:,}"
    return f"{low:,} to {high:,}" if low else f"at most {high:,}"


def _tested(condition: Condition, value: Any) -> tuple[bool, str]:
    """Whether it is true, and why it cannot be told."""
    try:
        return condition(value), ""
    except RecordError as error:
        return False, str(error)


def _records(count: int) -> str:
    return f"{count:,} record{'' if count == 1 else 's'}"
