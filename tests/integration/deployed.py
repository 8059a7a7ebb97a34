"""Components for deployments: endless and finite sources, steps whose params and versions change, careless writers of files."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel

import thalweg
from thalweg import At, Context, GeneratedFile


class Count(BaseModel):
    """How many numbers, and how long each takes."""

    count: int = 100
    pause_s: float = 0.0


@thalweg.component("numbers", version="1.0.0")
def numbers(params: Count, cursor: int | None) -> Iterator[At[int]]:
    """Counts from 0."""
    for n in range(cursor or 0, params.count):
        time.sleep(params.pause_s)
        yield At(n, n + 1)


@thalweg.component("silent", version="1.0.0")
def silent() -> Iterator[int]:
    """Gives fifty numbers, then waits for something that never comes."""
    yield from range(50)
    threading.Event().wait()


@thalweg.component("stuck", version="1.0.0")
def stuck() -> Iterator[int]:
    """Gives one number, then waits and lets nothing else in its process go on, as native code may."""
    yield 0
    ctypes.PyDLL(None).sleep(3600)


@thalweg.component("noisy", version="1.0.0")
def noisy(n: int) -> int:
    """Says that it is deterministic, and is not."""
    return n + int.from_bytes(os.urandom(4), "big")


@thalweg.component("guess", version="1.0.0", deterministic=False)
def guess(n: int) -> int:
    """Says that it is not deterministic, and is not."""
    return noisy(n)


@dataclass
class Tagged:
    n: int
    tag: int


class Tag(BaseModel):
    """What every number gets."""

    tag: int = 0


@thalweg.component("tag", version="1.0.0")
def tag(n: int, params: Tag) -> Tagged:
    """Tags numbers."""
    return Tagged(n, params.tag)


@dataclass
class Seen:
    count: int = 0
    names: list[str] = field(default_factory=list)


@thalweg.component("first-come", version="1.0.0", combine="arrival")
class FirstCome:
    """Numbers of two inputs as they come, each with how many came before it."""

    state: Seen

    def on_left(self, n: int) -> Tagged:
        """One of the left."""
        self.state.count += 1
        return Tagged(n, self.state.count)

    def on_right(self, n: int) -> Tagged:
        """One of the right."""
        return self.on_left(-n)


class Weight(BaseModel):
    """What is added to each sum."""

    weight: int = 0


@thalweg.component("total", version="1.0.0")
class Total:
    """Numbers with how many came so far; its state is large."""

    params: Weight
    state: Seen

    def process(self, n: int) -> Tagged:
        self.state.count += 1
        if len(self.state.names) < 2000:
            self.state.names.append(f"number {n}")
        return Tagged(n, self.state.count + self.params.weight)


@dataclass
class Other:
    words: dict[str, str] = field(default_factory=dict)
    count: str = "none"


@thalweg.component("total", version="2.0.0")
class TotalInWords:
    """The same with another state."""

    params: Weight
    state: Other

    def process(self, n: int) -> Tagged:
        self.state.count = str(n)
        return Tagged(n, 0)


@thalweg.component("careless", version="1.0.0")
class Careless:
    """Writes one of its two files, and one that it has not declared."""

    kept: Annotated[GeneratedFile, "text", "kept.txt"]
    forgotten: Annotated[GeneratedFile, "text", "forgotten.txt"]

    def process(self, n: int) -> None:
        """Takes a number."""

    def finish(self, context: Context) -> None:
        """Writes what it writes."""
        self.kept.path.write_text("kept")
        (self.kept.path.parent / "surplus.txt").write_text("surplus")


class Drift(BaseModel):
    """A file that is no input of the vertex, and the first number that it has to do with."""

    path: str
    since: int


@thalweg.component("drifting", version="1.0.0")
def drifting(n: int, params: Drift) -> Tagged:
    """Tags numbers by what a file says that nothing pins."""
    with open(params.path) as file:
        return Tagged(n, int(file.read()) if n >= params.since else 0)


class Picky(BaseModel):
    """Whether numbers that end in 3 are refused."""

    refuse: bool = True


@thalweg.component("picky", version="1.0.0")
def picky(n: int, params: Picky) -> Tagged:
    """Refuses every tenth number."""
    if params.refuse and n % 10 == 3:
        raise thalweg.RecordError(f"{n} ends in 3")
    return Tagged(n, 0)


class Fate(BaseModel):
    """The number that its process dies of."""

    dies_of: int


@thalweg.component("mortal", version="1.0.0")
def mortal(n: int, params: Fate) -> Tagged:
    """Tags numbers; one of them ends its process, as a fault in native code does."""
    if n == params.dies_of:
        os._exit(3)
    return Tagged(n, 0)


@dataclass
class Reading:
    """A number of a key."""

    key: str
    n: int


@dataclass
class Counted:
    """A number, and how many of its key came up to it."""

    key: str
    n: int
    seen: int


class Pause(BaseModel):
    """How long each record takes."""

    pause_s: float = 0.0


@thalweg.component("pass-on", version="1.0.0")
def pass_on(reading: Reading, params: Pause) -> Reading:
    """Gives each reading as it is."""
    time.sleep(params.pause_s)
    return reading


@thalweg.component("refuse-a", version="1.0.0")
def refuse_a(reading: Reading) -> Reading:
    """Refuses readings of one key."""
    if reading.key == "A":
        raise thalweg.RecordError("it is of A")
    return reading


@dataclass
class Tally:
    by_key: dict[str, int] = field(default_factory=dict)
    padding: list[str] = field(default_factory=list)


@thalweg.component("tally", version="1.0.0")
class TallyUp:
    """Counts readings by key; its state grows large."""

    params: Pause
    state: Tally

    def process(self, reading: Reading) -> Counted:
        time.sleep(self.params.pause_s)
        found = self.state.by_key[reading.key] = self.state.by_key.get(reading.key, 0) + 1
        if len(self.state.padding) < 2000:
            self.state.padding.append(f"reading {reading.n}")
        return Counted(reading.key, reading.n, found)
