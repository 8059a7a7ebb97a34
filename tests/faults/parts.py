"""Components of the fault tests: a source with cursors, a stateful step, a fan-out, all deterministic and a little slow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

import thalweg


@dataclass
class Number:
    """A number of the source."""

    n: int
    label: str


@dataclass
class Total:
    """A number with the running total of its class."""

    n: int
    total: int


class Count(BaseModel):
    """How many numbers, and how long each takes, until there is a file of that path."""

    count: int
    pause_s: float = 0.0
    until: str = ""


@thalweg.component("numbers", version="1.0.0")
def numbers(params: Count, cursor: int | None) -> Iterator[thalweg.At[Number]]:
    """Counts from 0."""
    for n in range(cursor or 0, params.count):
        if not params.until or not Path(params.until).exists():
            time.sleep(params.pause_s)
        yield thalweg.At(Number(n, f"label {n % 7}"), n + 1, time_ns=n * 1_000)


@dataclass
class Totals:
    """Running total by class; `padding` makes the snapshot larger than what fits into a commit."""

    by_class: dict[int, int] = field(default_factory=dict)
    padding: list[int] = field(default_factory=list)


@thalweg.component("totals", version="1.0.0")
class RunningTotals:
    """Adds numbers up by class, in state."""

    state: Totals

    def process(self, record: Number) -> Total:
        """One total for each number."""
        time.sleep(0.0002)
        kind = record.n % 5
        self.state.by_class[kind] = self.state.by_class.get(kind, 0) + record.n
        if len(self.state.padding) < 5_000:
            self.state.padding.append(record.n)
        return Total(record.n, self.state.by_class[kind])


@thalweg.component("thirds", version="1.0.0")
def thirds(record: Number) -> Iterator[Number]:
    """Every third number, twice."""
    if record.n % 3 == 0:
        yield record
        yield Number(-record.n, record.label)


@thalweg.component("pair-up", version="1.0.0")
class PairUp:
    """Merges totals and thirds by event time into one stream, numbered in state."""

    state: Totals

    def on_totals(self, record: Total) -> Total:
        """A total as it is."""
        return record

    def on_thirds(self, record: Number) -> Total:
        """A third, with how many came before it."""
        self.state.by_class[0] = self.state.by_class.get(0, 0) + 1
        return Total(record.n, self.state.by_class[0])
