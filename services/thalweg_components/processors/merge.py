"""merge: brings the records of several streams together in order of time."""

from __future__ import annotations

from typing import TypeVar

from thalweg import component

T = TypeVar("T")


@component("merge", version="1.0.0")
def merge(record: T) -> T:
    """Brings the records of several streams together, unchanged, in order of event time.

    **Ports**: draw as many edges to `in` as there are streams; `out` emits all of their records. The streams must have a type in
    common: one of theirs that takes all the others, as `record{a: float}` takes `record{a: int, b: str}`. That is the type of
    `out`. Where there is none, put `select`, `rename` or `cast` in front.

    **Order**: by event time; of equal ones, first those of the edge that comes first by its source's name, then as they came. A
    stream that is silent holds the others up until its watermark has moved on or it has ended.

    **Faults**: none of its own.
    """
    return record
