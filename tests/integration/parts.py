"""Components that end their process in ways of their own."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel

import thalweg


class Count(BaseModel):
    """How many numbers, and how long each takes."""

    count: int = 100
    pause_s: float = 0.0


@thalweg.component("count", version="1.0.0")
def count(params: Count, cursor: int | None) -> Iterator[thalweg.At[int]]:
    """Counts from 0."""
    for n in range(cursor or 0, params.count):
        time.sleep(params.pause_s)
        yield thalweg.At(n, n + 1)


@thalweg.component("swallow", version="1.0.0")
def swallow(record: int) -> None:
    """Takes every number and gives none."""


@thalweg.component("leave", version="1.0.0")
def leave(record: int) -> int:
    """Ends its process as if all were well, as a C library may; sys.exit is a fault of the component like any exception."""
    os._exit(0)


@thalweg.component("drown", version="1.0.0")
def drown(record: int) -> int:
    """Ends as the kernel ends a process that has no memory left."""
    print("taking more and more", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    return record


class Pauses(BaseModel):
    """Before the record `at`, waits `pause_s` seconds."""

    at: int = -1
    pause_s: float = 0.0


@thalweg.component("pausing", version="1.0.0")
def pausing(params: Pauses, cursor: int | None) -> Iterator[thalweg.At[int]]:
    """Sixty numbers, with a long silence before one of them, as from a live source."""
    for n in range(cursor or 0, 60):
        if n == params.at:
            time.sleep(params.pause_s)
        yield thalweg.At(n, n + 1)


@thalweg.component("lingering", version="1.0.0")
def lingering(record: int, params: Pauses) -> int:
    """Every number; takes its time over one."""
    if record == params.at:
        time.sleep(params.pause_s)
    return record


@thalweg.component("thirds", version="1.0.0")
def thirds(record: int) -> int | None:
    """Every third number."""
    return record if record % 3 == 0 else None


@thalweg.component("pairs", version="1.0.0", combine="zip")
def pairs(a: int, b: int) -> int:
    """One of each."""
    return a - b


@dataclass
class Padded:
    """State that is too large for every commit."""

    total: int = 0
    padding: bytes = bytes(10_000)


@thalweg.component("large", version="1.0.0")
class LargeTotal:
    """Running total in large state."""

    state: Padded

    def process(self, record: int) -> int:
        """The total."""
        self.state.total += record
        return self.state.total


class Sizes(BaseModel):
    """Sizes of the values, bytes."""

    bytes: list[int]


@thalweg.component("blobs", version="1.0.0")
def blobs(params: Sizes, cursor: int | None) -> Iterator[thalweg.At[bytes]]:
    """A value of each size."""
    for index in range(cursor or 0, len(params.bytes)):
        yield thalweg.At(bytes([index + 1]) * params.bytes[index], index + 1)


@dataclass
class Weight:
    """What arrived."""

    size: int
    digest: str


@thalweg.component("weigh", version="1.0.0")
def weigh(record: bytes) -> Weight:
    """Size and digest of a value."""
    return Weight(len(record), hashlib.sha256(record).hexdigest())


@thalweg.component("same", version="1.0.0")
def same(record: bytes) -> bytes:
    """The value as it is."""
    return record


@dataclass
class Picture:
    """A number, and a picture of its grey."""

    n: int
    image: thalweg.Image


@thalweg.component("pictures", version="1.0.0")
def pictures(params: Count, cursor: int | None) -> Iterator[thalweg.At[Picture]]:
    """Grey pictures, each a little lighter."""
    import numpy as np

    for n in range(cursor or 0, params.count):
        time.sleep(params.pause_s)
        yield thalweg.At(Picture(n, thalweg.Image.from_array(np.full((12, 16, 3), n % 256, np.uint8), "png")), n + 1)


@thalweg.component("glance", version="1.0.0")
def glance(record: Picture) -> None:
    """Looks at it."""
