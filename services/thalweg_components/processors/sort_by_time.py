"""sort-by-time: puts records that are a little out of order into the order of their event times."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, Emit, component
from thalweg.graph.types import StreamType
from thalweg_components.expressions import compile_expression
from thalweg_components.times import event_time_ns

T = TypeVar("T")
_LONG_AGO, _NEVER = -(2**63), 2**63 - 1


class Params(BaseModel):
    """How far out of order records may be."""

    model_config = ConfigDict(extra="forbid")

    lateness_s: float = Field(ge=0, description="how far a record may be behind the latest one, seconds of event time")
    time: str | None = Field(None, description="field that is the event time; by default the record's own event time")


@dataclass
class State:
    """Records held back, a heap of [event time, number of arrival, msgpack], and how far time has come: the watermark, or the latest
    of the field."""

    held: list[tuple[int, int, bytes]] = field(default_factory=list)
    count: int = 0
    latest_ns: int = _LONG_AGO


@component("sort-by-time", version="1.0.0")
class SortByTime:
    """Puts records that are a little out of order into the order of their event times.

    **Ports**: `in` takes any type; `out` emits the same type, unchanged, with the event time that it was sorted by. Records
    of equal time stay in the order in which they came.

    **Params**: `lateness_s` (seconds of event time for which a record is held back), `time` (field of the event time).

    **Faults**: a record that is later than `lateness_s` is dropped and counted as late. A null event time is a faulty record.

    **Memory**: the records of `lateness_s`.
    """

    params: Params
    state: State

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The input's type."""
        if params.time is not None:
            compile_expression(params.time, inputs["in"], what="time")
        return {"out": inputs["in"]}

    def setup(self, context: Context) -> None:
        """Compiles the time."""
        self._time = compile_expression(self.params.time, context.input_type("in"), what="time") if self.params.time else None
        self._bound_ns = round(self.params.lateness_s * 1_000_000_000)
        if self.params.time is None:
            context.hold_back_ns = self._bound_ns
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(context.record_class("out")).decode

    def process(self, record: T, context: Context) -> Iterator[Emit[T]]:
        """Holds the record back; where a `time` field says how far time has come, emits what no record can come before any more."""
        time_ns = context.time_ns if self._time is None else event_time_ns(self._time.evaluate(record))
        if self.state.latest_ns > _LONG_AGO and time_ns < self.state.latest_ns - self._bound_ns:
            context.count_late()
            return
        heapq.heappush(self.state.held, (time_ns, self.state.count, self._encode(record)))
        self.state.count += 1
        if self._time is not None and time_ns > self.state.latest_ns:
            self.state.latest_ns = time_ns
            yield from self._release(time_ns - self._bound_ns)

    def on_watermark(self, watermark_ns: int, context: Context) -> Iterator[Emit[T]]:
        """Emits what no record can come before any more.

        Not when the next record is processed: then what it emits would already be late for those who read it.
        """
        if self._time is None and watermark_ns < _NEVER:
            self.state.latest_ns = max(self.state.latest_ns, watermark_ns)
            yield from self._release(self.state.latest_ns - self._bound_ns)

    def finish(self, context: Context) -> Iterator[Emit[T]]:
        """Emits the rest."""
        yield from self._release(None)

    def _release(self, until_ns: int | None) -> Iterator[Emit[T]]:
        """Emits what is strictly before `until_ns`: at the very bound, an equal one may still come."""
        held = self.state.held
        while held and (until_ns is None or held[0][0] < until_ns):
            time_ns, _, data = heapq.heappop(held)
            yield Emit(self._decode(data), time_ns)
