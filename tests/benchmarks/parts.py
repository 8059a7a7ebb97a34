"""Components of the benchmarks: the record of `raw_chain.py` and `faststream_chain.py`, made, converted, counted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

import thalweg


@dataclass(slots=True)
class Reading:
    """One reading, about 150 bytes as msgpack."""

    id: int
    name: str
    value: float
    unit: str
    ok: bool
    tags: list[str]
    note: str


class Load(BaseModel):
    """How many records to make; at how many a second, 0 for as fast as possible."""

    count: int
    per_s: float = 0.0


class Target(BaseModel):
    """Where to write what was measured, as JSON."""

    path: Path


@thalweg.component("bench-readings", version="1.0.0")
def readings(params: Load, cursor: int | None) -> Iterator[thalweg.At[Reading]]:
    """Makes readings."""
    for number in range(cursor or 0, params.count):
        reading = Reading(number, f"sensor-{number % 50}", number * 0.5, "celsius", True, ["a", "b"], "x" * 80)
        yield thalweg.At(reading, number + 1)


@thalweg.component("bench-fahrenheit", version="1.0.0")
def fahrenheit(reading: Reading) -> Reading:
    """Converts one reading."""
    return Reading(reading.id, reading.name, reading.value * 1.8 + 32, reading.unit, reading.ok, reading.tags, reading.note)


@thalweg.component("bench-count", version="1.0.0")
class Count:
    """Counts readings, and measures from the first to the last."""

    params: Target

    def setup(self, context: thalweg.Context) -> None:
        """Nothing seen yet."""
        self._count, self._started, self._last = 0, 0.0, 0.0

    def process(self, record: Reading) -> None:
        """One more."""
        if not self._count:
            self._started = time.perf_counter()
        self._count += 1

    def finish(self, context: thalweg.Context) -> None:
        """Says how fast it was."""
        self.params.path.write_text(json.dumps({"count": self._count, "seconds": time.perf_counter() - self._started}))
