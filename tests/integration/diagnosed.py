"""Components for graphs that do not give what they should."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel

import thalweg
from thalweg import At, Context, GeneratedFile

START_NS = 1_700_000_000_000_000_000


class Count(BaseModel):
    """How many readings, how long each takes, how far apart in event time, and whether more is promised and never comes."""

    count: int = 100
    pause_s: float = 0.0
    step_s: float = 1.0
    hang: bool = False


@dataclass
class Reading:
    n: int
    celsius: float
    room: str


@thalweg.component("readings", version="1.0.0")
def readings(params: Count, cursor: int | None) -> Iterator[At[Reading]]:
    """Temperatures of 20 to 24 degrees."""
    for n in range(cursor or 0, params.count):
        time.sleep(params.pause_s)
        yield At(Reading(n, 20.0 + n % 5, "hall"), n + 1, START_NS + int(n * params.step_s * 1e9))
    if params.hang:
        time.sleep(3600)


class Limit(BaseModel):
    """From which reading on it raises, and how long each takes."""

    at: int = 1 << 40
    slow_s: float = 0.0


@thalweg.component("touchy", version="1.0.0")
def touchy(record: Reading, params: Limit) -> Reading:
    """Raises from some reading on."""
    time.sleep(params.slow_s)
    if record.n >= params.at:
        raise ValueError(f"cannot take {record.n}")
    return record


@thalweg.component("merged", version="1.0.0", combine="event-time")
def merged(a: Reading, b: Reading) -> Reading:
    """The left one."""
    return a


@thalweg.component("careless-readings", version="1.0.0")
class Careless:
    """Misspells the name of one of its files."""

    kept: Annotated[GeneratedFile, "text", "kept.txt"]
    summary: Annotated[GeneratedFile, "text", "summary.txt"]

    def process(self, record: Reading) -> None:
        """Takes a reading."""

    def finish(self, context: Context) -> None:
        """Writes what it writes."""
        self.kept.path.write_text("kept")
        (self.kept.path.parent / "sumary.txt").write_text("surplus")
