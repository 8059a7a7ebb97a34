"""timer-source: a record at even steps of event time."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, model_validator

from thalweg import At, Context, component
from thalweg_components.times import EPOCH, LONGEST_S, SHORTEST_S, from_ns, is_event_time, to_ns

MAX_LIVE_S = 60.0  # an undeploy waits for the tick that is due


class Params(BaseModel):
    """When it ticks."""

    model_config = ConfigDict(extra="forbid")

    every_s: float = Field(ge=SHORTEST_S, le=LONGEST_S, description="event time between ticks, seconds; at most 60 when live")
    count: int | None = Field(None, ge=0, le=2**53, description="ticks in all; without it, without end, which only a live one may be")
    start: dt.datetime = Field(EPOCH, description="event time of the first tick, UTC where no zone is given")
    live: bool = Field(False, description="true: each tick waits for its time to have gone by on the clock")

    @model_validator(mode="after")
    def _check_end(self) -> Params:
        if self.count is None and not self.live:
            raise ValueError("count is required, unless live is true: a batch would never end")
        if self.live and self.every_s > MAX_LIVE_S:
            raise ValueError(f"every_s is at most {MAX_LIVE_S:g} when live is true")
        if not is_event_time(to_ns(self.start) + max(0, (self.count or 0) - 1) * round(self.every_s * 1_000_000_000)):
            raise ValueError("the ticks are not all between the years 1677 and 2262")
        return self


@dataclass
class Tick:
    """A tick: `index` from 0, and its event time."""

    index: int
    time: dt.datetime


@component("timer-source", version="1.0.0")
class TimerSource:
    """Emits a record at even steps of event time.

    **Emits** on `out` `record{index: int, time: timestamp}`: the index counts from 0, `time` is `start` + index * `every_s`, cut
    to microseconds, and is the event time too.

    **Params**: `every_s` (seconds of event time, 1e-6 to 1e9; at most 60 when live), `count` (ticks), `start` (by default
    1970-01-01), `live`.

    **In a batch** no clock is asked: all ticks come at once, as fast as they are taken, `count` says how many. With `live: true`
    the same records come one by one, each `every_s` seconds of the clock after the one before, until `count` or for ever. Their
    event times are no clock times: set `start` to combine them with records that have such.

    **Faults**: none of its own. A last tick after the year 2262 is rejected before it runs.

    **Resumes** at the tick behind the last committed one.
    """

    params: Params

    def read(self, cursor: int | None, context: Context) -> Iterator[At[Tick]] | AsyncIterator[At[Tick]]:
        """Ticks from index `cursor` on."""
        return self._paced(cursor or 0) if self.params.live else self._at_once(cursor or 0)

    def _at_once(self, first: int) -> Iterator[At[Tick]]:
        yield from map(self._tick, range(first, self.params.count or 0))

    async def _paced(self, first: int) -> AsyncIterator[At[Tick]]:
        loop = asyncio.get_running_loop()
        index, due_s = first, loop.time()
        while self.params.count is None or index < self.params.count:
            due_s += self.params.every_s
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            yield self._tick(index)
            index += 1

    def _tick(self, index: int) -> At[Tick]:
        time_ns = to_ns(self.params.start) + index * round(self.params.every_s * 1_000_000_000)
        return At(Tick(index, from_ns(time_ns)), index + 1, time_ns)
