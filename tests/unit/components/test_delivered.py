"""Places in the target: what retired partitions have delivered counts for those in their place, and is fenced."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from thalweg import Context, Place
from thalweg.errors import FencedOutError
from thalweg_components.delivered import Delivered

EDGE = "a.out>in"


class Target:
    """A database in memory."""

    def __init__(self) -> None:
        self._database = sqlite3.connect(":memory:", isolation_level=None)
        self._has_table = False

    def execute(self, statement: str, values: dict[str, Any]) -> Any:
        return self._database.execute(statement, values)

    def claim(self, vertex: str, epoch: int = 1, formers: dict[str, int] | None = None, rewound: int = 0) -> Delivered:
        context = Context(vertex, {}, {}, {})
        context.run, context.epoch, context.rewound, context.formers = "w/d@1", epoch, rewound, formers or {}
        found = Delivered(context)
        found.claim(self.execute, is_there=self._has_table)
        self._has_table = True
        return found

    def deliver(self, by: Delivered, *places: Place) -> list[int]:
        """Which ones were delivered, by index."""
        found = by.missing(self.execute, list(places))
        by.advance(self.execute, [places[index] for index in found])
        return found


def at(sequence: int, offset: int, *fell_to: str) -> Place:
    return Place(EDGE, sequence, offset, fell_to)


def test_what_a_retired_partition_has_delivered_is_not_delivered_again() -> None:
    target = Target()
    old = target.claim("s")
    assert target.deliver(old, at(5, 0), at(5, 3)) == [0, 1]
    new = target.claim("s~1", formers={"s": 0})
    assert target.deliver(new, at(5, 1, "s"), at(5, 3, "s"), at(5, 4, "s"), at(6, 0, "s")) == [2, 3]
    assert target.deliver(new, at(6, 0, "s"), at(6, 1, "s")) == [1]
    with pytest.raises(FencedOutError):
        target.deliver(old, at(7, 0))
    with pytest.raises(FencedOutError):
        target.claim("s", epoch=9)


def test_only_the_partition_to_which_a_record_fell_counts() -> None:
    target = Target()
    assert target.deliver(target.claim("s~1"), at(9, 0)) == [0]
    assert target.deliver(target.claim("s~2"), at(4, 0)) == [0]
    new = target.claim("s~3", formers={"s~1": 0, "s~2": 0, "s~9": 0})
    assert target.deliver(new, at(4, 0, "s~2"), at(5, 0, "s~2"), at(6, 0, "s~1"), at(7, 0, "s~9")) == [1, 3]


def test_what_was_delivered_before_a_retired_partition_went_back_does_not_count() -> None:
    target = Target()
    assert target.deliver(target.claim("s"), at(9, 0)) == [0]
    new = target.claim("s~1", formers={"s": 3})
    assert target.deliver(new, at(4, 0, "s")) == [0]
