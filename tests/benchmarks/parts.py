"""Components of the benchmarks: the record of `raw_chain.py` and `faststream_chain.py`, made, converted, counted."""

from __future__ import annotations

import hashlib
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


@thalweg.component("bench-heavy", version="1.0.0")
def heavy(reading: Reading) -> Reading:
    """Keeps a core busy for some 0.3 ms, then gives the reading as it is."""
    hashlib.pbkdf2_hmac("sha256", reading.note.encode(), b"salt", 500)
    return reading


@thalweg.component("bench-count", version="1.0.0")
class Count:
    """Counts readings, and measures from the first to the last."""

    params: Target

    def setup(self, context: thalweg.Context) -> None:
        """Nothing seen yet."""
        self._count, self._started = 0, 0.0

    def process(self, record: Reading) -> None:
        """One more."""
        if not self._count:
            self._started = time.perf_counter()
        self._count += 1

    def finish(self, context: thalweg.Context) -> None:
        """Says how fast it was."""
        self.params.path.write_text(json.dumps({"count": self._count, "seconds": time.perf_counter() - self._started}))


@dataclass(slots=True)
class Stamped:
    """A record with the time when it was sent, and that of the hop before."""

    id: int
    sent_ns: int
    before_ns: int
    name: str
    note: str


@thalweg.component("bench-clock", version="1.0.0", deterministic=False)
def clock(params: Load, cursor: int | None) -> Iterator[thalweg.At[Stamped]]:
    """Sends records at a steady rate."""
    for number in range(cursor or 0, params.count):
        time.sleep(1 / params.per_s)
        yield thalweg.At(Stamped(number, time.time_ns(), 0, f"sensor-{number % 50}", "x" * 80), number + 1)


@thalweg.component("bench-relay", version="1.0.0", deterministic=False)
def relay(record: Stamped) -> Stamped:
    """Notes when the record came, and sends it on."""
    now = time.time_ns()
    return Stamped(record.id, now, now - record.sent_ns, record.name, record.note)


@thalweg.component("bench-arrivals", version="1.0.0", deterministic=False)
class Arrivals:
    """Writes how long each record took for its hops, ns; those of the first tenth, before all is warm, are left out."""

    params: Target

    def setup(self, context: thalweg.Context) -> None:
        """Nothing seen yet."""
        self._seen: list[tuple[int, int]] = []

    def process(self, record: Stamped) -> None:
        """Notes both hops."""
        self._seen.append((record.before_ns, time.time_ns() - record.sent_ns))

    def finish(self, context: thalweg.Context) -> None:
        """Writes them."""
        kept = self._seen[len(self._seen) // 10 :]
        self.params.path.write_text(json.dumps([hop for pair in kept for hop in pair]))


@thalweg.component("bench-ready", version="1.0.0", deterministic=False)
class Ready:
    """Passes records on, and writes when it was ready to."""

    params: Target

    def setup(self, context: thalweg.Context) -> None:
        """Notes the time since the machine started: the kernel's clock for the start of processes, too."""
        self.params.path.write_text(str(time.clock_gettime(time.CLOCK_BOOTTIME)))

    def process(self, record: Stamped) -> Stamped:
        """The record as it is."""
        return record


@dataclass(slots=True)
class Picture:
    """A frame of `video-file-source`."""

    index: int
    image: thalweg.Image


@thalweg.component("bench-blur", version="1.0.0")
def blur(frame: Picture) -> Picture:
    """Blurs a frame."""
    import cv2

    return Picture(frame.index, thalweg.Image.from_array(cv2.blur(frame.image.to_array(), (5, 5)).astype("uint8"), "jpeg", 90))


@thalweg.component("bench-watch", version="1.0.0")
class Watch:
    """Decodes frames, and measures from the first to the last."""

    params: Target

    def setup(self, context: thalweg.Context) -> None:
        """Nothing seen yet."""
        self._count, self._started = 0, 0.0

    def process(self, record: Picture) -> None:
        """One more."""
        if not self._count:
            self._started = time.perf_counter()
        record.image.to_array()
        self._count += 1

    def finish(self, context: thalweg.Context) -> None:
        """Says how fast it was."""
        self.params.path.write_text(json.dumps({"count": self._count, "seconds": time.perf_counter() - self._started}))
