"""The sources that make their records themselves."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from thalweg.graph.types import format_type
from thalweg.testing import run_component
from thalweg_components.sources.random_source import RandomSource
from thalweg_components.sources.timer_source import TimerSource

Drive = Callable[..., Any]
FIELDS: dict[str, dict[str, Any]] = {
    "x": {"kind": "uniform", "low": 2, "high": 3},
    "n": {"kind": "int", "low": -1, "high": 1, "nulls": 0.25},
    "g": {"kind": "normal", "mean": 5},
    "c": {"kind": "choice", "of": ["a", "b"]},
    "ok": {"kind": "bool", "share": 1.0},
}


def test_ticks_are_even_steps_of_event_time_and_go_on_behind_any_cursor(drive: Drive) -> None:
    params = {"every_s": 0.5, "count": 3, "start": "2024-01-01T00:00:00Z"}
    found = drive("timer-source", params=params)
    start = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    assert [(one.index, one.time - start) for one in found.out] == [(n, dt.timedelta(seconds=n / 2)) for n in range(3)]
    assert [time_ns - found.times[0] for time_ns in found.times] == [0, 500_000_000, 1_000_000_000]
    assert drive("timer-source", params=params, cursor=found.cursors[1]).out == found.out[2:]
    assert drive("timer-source", params={"every_s": 1, "count": 0}).out == []


def test_a_live_timer_gives_the_same_ticks_at_the_pace_of_the_clock() -> None:
    params = {"every_s": 0.02, "count": 3}
    started = time.monotonic()
    live = run_component(TimerSource, params=params | {"live": True})
    assert time.monotonic() - started >= 0.06
    assert (live.digest, live.times) == (run_component(TimerSource, params=params).digest, {"out": [0, 20_000_000, 40_000_000]})


@pytest.mark.parametrize(
    "params",
    [
        {"every_s": 1},
        {"every_s": 61, "live": True},
        {"every_s": 0, "count": 1},
        {"every_s": 1e9, "count": 100},
        {"every_s": 1, "count": -1},
    ],
)
def test_timers_without_an_end_or_beyond_the_calendar_are_refused(drive: Drive, params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        drive("timer-source", params=params)


def test_random_records_depend_on_seed_and_number_alone(drive: Drive) -> None:
    params = {"seed": 7, "count": 400, "fields": FIELDS, "every_s": 2}
    found = drive("random-source", params=params)
    assert format_type(found.types["out"]) == "record{x: float, n: int?, g: float, c: str, ok: bool}"
    assert all(2 <= one.x <= 3 and one.n in (None, -1, 0, 1) and one.c in "ab" and one.ok for one in found.out)
    assert 50 < sum(one.n is None for one in found.out) < 150
    assert 4.5 < sum(one.g for one in found.out) / 400 < 5.5
    assert found.times[:2] == [0, 2_000_000_000]
    assert drive("random-source", params=params, cursor=found.cursors[98]).out == found.out[99:]
    assert drive("random-source", params=params | {"count": 3}).out == found.out[:3]
    assert drive("random-source", params=params | {"seed": 8, "count": 3}).out != found.out[:3]


def test_a_share_of_nulls_changes_no_other_value(drive: Drive) -> None:
    params = {"seed": 1, "count": 50, "fields": FIELDS}
    without = {name: {key: value for key, value in one.items() if key != "nulls"} for name, one in FIELDS.items()}
    rows = zip(drive("random-source", params=params).out, drive("random-source", params=params | {"fields": without}).out, strict=True)
    assert all(one.g == other.g and one.n in (None, other.n) for one, other in rows)


@pytest.mark.parametrize(
    "values", [{"kind": "int", "low": 2, "high": 1}, {"kind": "uniform", "high": "inf"}, {"kind": "choice", "of": []}, {"kind": "poisson"}]
)
def test_values_that_cannot_be_drawn_are_refused(drive: Drive, values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        drive("random-source", params={"seed": 1, "count": 1, "fields": {"x": values}})


def test_random_records_run_as_a_vertex_runs_them() -> None:
    found = run_component(RandomSource, params={"seed": 1, "count": 3, "fields": FIELDS})
    assert len(found.out) == 3 and found.counters.records_out == 3
