"""Windows of event time: which ones a moment falls into. Pure."""

from __future__ import annotations

import datetime as dt
import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from thalweg_components.times import LONGEST_S, SHORTEST_S, from_ns, to_ns

Kind = Literal["none", "tumbling", "sliding", "session", "day", "month", "year"]
NO_WINDOW = (-(2**63), 2**63 - 1)


class Window(BaseModel):
    """How event time is cut. In pipeline files a bare word, e.g. `month`, stands for `{kind: month}`."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind = Field("none", description="none: one window over everything; day, month, year: of the UTC calendar")
    size_s: float | None = Field(None, ge=SHORTEST_S, le=LONGEST_S, description="length of tumbling and sliding windows, seconds")
    slide_s: float | None = Field(None, ge=SHORTEST_S, le=LONGEST_S, description="distance between the starts of sliding windows, seconds")
    gap_s: float | None = Field(None, ge=SHORTEST_S, le=LONGEST_S, description="silence that ends a session, seconds")

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: object) -> object:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_sizes(self) -> Window:
        needs = {"tumbling": ("size_s",), "sliding": ("size_s", "slide_s"), "session": ("gap_s",)}.get(self.kind, ())
        for name in ("size_s", "slide_s", "gap_s"):
            if (getattr(self, name) is not None) != (name in needs):
                raise ValueError(f"a {self.kind} window {'needs' if name in needs else 'takes no'} {name}")
        if self.size_s and self.slide_s and self.size_s / self.slide_s > 1000:
            raise ValueError("a record would fall into more than 1000 windows: raise slide_s")
        return self


def windows_of(window: Window, time_ns: int) -> list[tuple[int, int]]:
    """Start and end (exclusive), in UTC ns, of every window that holds the moment; of a session, the one it would begin."""
    match window.kind:
        case "none":
            return [NO_WINDOW]
        case "session":
            return [(time_ns, time_ns + _ns(window.gap_s))]
        case "tumbling":
            return _sliding(time_ns, _ns(window.size_s), _ns(window.size_s))
        case "sliding":
            return _sliding(time_ns, _ns(window.size_s), _ns(window.slide_s))
        case calendar:
            return [_calendar(calendar, time_ns)]


def _ns(seconds: float | None) -> int:
    return round((seconds or 0) * 1_000_000_000)


def _sliding(time_ns: int, size_ns: int, slide_ns: int) -> list[tuple[int, int]]:
    last = time_ns // slide_ns * slide_ns
    count = math.ceil(size_ns / slide_ns)
    starts = (last - index * slide_ns for index in range(count - 1, -1, -1))
    return [(start, start + size_ns) for start in starts if start + size_ns > time_ns]


def _calendar(kind: Literal["day", "month", "year"], time_ns: int) -> tuple[int, int]:
    day = from_ns(time_ns).replace(hour=0, minute=0, second=0, microsecond=0)
    if kind == "day":
        return to_ns(day), to_ns(day + dt.timedelta(days=1))
    if kind == "month":
        first = day.replace(day=1)
        return to_ns(first), to_ns((first + dt.timedelta(days=32)).replace(day=1))
    return to_ns(day.replace(month=1, day=1)), to_ns(day.replace(year=day.year + 1, month=1, day=1))
