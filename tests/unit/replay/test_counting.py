"""How much of a port differs between two runs: records are told apart by their ids."""

from __future__ import annotations

import msgspec
import pytest

from thalweg.replay import counting
from thalweg.replay.counting import PortChange, count_changes
from thalweg.replay.reader import Record


def _records(*given: tuple[int, int]) -> list[Record]:
    """By (id, value)."""
    return [Record(index, index + 1, 0, 5, record_id, msgspec.msgpack.encode(value)) for index, (record_id, value) in enumerate(given)]


def _changes(before: list[Record], after: list[Record]) -> PortChange:
    return count_changes("v", "out", before, after)


def test_the_same_records_are_the_same() -> None:
    found = _changes(_records((1, 10), (2, 20)), _records((1, 10), (2, 20)))
    assert found.is_same and found.line() == "v.out: 2 records, the same"


def test_records_that_are_missing_added_and_changed_are_counted_each() -> None:
    found = _changes(_records((1, 10), (2, 20), (3, 30), (4, 40)), _records((2, 20), (3, 31), (4, 40), (5, 50)))
    assert (found.missing, found.added, found.changed, found.moved) == (1, 1, 1, 0)
    assert found.line() == "v.out: 4 records: 1 missing, 1 added, 1 changed"
    fewer = _changes(_records((1, 10), (2, 20)), _records((2, 20)))
    assert fewer.line() == "v.out: 2 records, now 1: 1 missing"


def test_another_event_time_is_a_change() -> None:
    (record,) = _records((1, 10))
    assert _changes([record], [Record(0, 1, 0, 6, 1, record.packed)]).changed == 1


def test_another_order_of_the_same_records_is_told_as_such() -> None:
    found = _changes(_records((1, 10), (2, 20)), _records((2, 20), (1, 10)))
    assert not found.is_same and found.line() == "v.out: 2 records: the same in another order"


def test_an_id_that_two_branches_have_both_kept_is_matched_in_order() -> None:
    twice = _records((1, 10), (1, 11), (2, 20))
    assert _changes(twice, twice).is_same
    found = _changes(twice, _records((1, 10), (2, 20)))
    assert (found.missing, found.changed) == (1, 0)


def test_more_differences_than_are_kept_in_mind_are_counted_as_missing_and_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MAX_WAITING", 3)
    ids = range(1, 11)
    found = _changes(_records(*((one, one) for one in ids)), _records(*((one + 5, one + 5) for one in ids)))
    assert not found.is_exact and (found.missing, found.added) == (10, 10)
    assert found.line().endswith("(more than are matched)")
