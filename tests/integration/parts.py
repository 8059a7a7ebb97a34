"""Components that end their process in ways of their own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

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
