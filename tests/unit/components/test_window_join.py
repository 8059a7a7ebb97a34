"""Pairs within windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from thalweg import RecordError, RejectedError
from thalweg.graph.types import format_type
from thalweg.testing import run_component
from thalweg_components.processors.window_join import WindowJoin

Drive = Callable[..., Any]
SECOND = 1_000_000_000
TYPES = {"left": "record{k: str?, n: int}", "right": "record{k: str?, m: int}"}
WINDOW = {"kind": "tumbling", "size_s": 10}
RECORDS = [
    ("right", {"k": "a", "m": 10}),
    ("left", {"k": "a", "n": 1}),
    ("left", {"k": "b", "n": 2}),
    ("right", {"k": "a", "m": 11}),
    ("left", {"k": "a", "n": 3}),
    ("right", {"k": None, "m": 12}),
    ("left", {"k": None, "n": 4}),
]
TIMES = [second * SECOND for second in (0, 1, 2, 9, 10, 11, 12)]


@pytest.mark.parametrize("restart_at", [None, 2, 4, 6])
@pytest.mark.parametrize(
    ("how", "pairs"),
    [
        ("inner", [(0, 1, 10), (0, 1, 11), (10, 4, 12)]),
        ("left", [(0, 1, 10), (0, 1, 11), (0, 2, None), (10, 3, None), (10, 4, 12)]),
    ],
)
def test_records_pair_within_their_window(drive: Drive, how: str, pairs: list[Any], restart_at: int | None) -> None:
    params = {"key": "k", "window": WINDOW, "how": how}
    found = drive("window-join", RECORDS, types=TYPES, times=TIMES, params=params, restart_at=restart_at)
    right = "int?" if how == "left" else "int"
    assert format_type(found.types["out"]) == f"record{{window_start: timestamp, window_end: timestamp, k: str?, n: int, m: {right}}}"
    assert {(one.window_start.second, one.n, one.m) for one in found.out} == set(pairs)
    assert [time for time in found.times if time < 10 * SECOND] == [10 * SECOND - 1] * len([one for one in pairs if one[0] == 0])


def test_without_a_key_all_records_of_a_window_pair_and_of_sliding_ones_in_each(drive: Drive) -> None:
    records = [("left", {"k": "a", "n": 1}), ("right", {"k": "b", "m": 2})]
    once = drive("window-join", records, types=TYPES, times=[0, SECOND], params={"window": WINDOW})
    assert [(one.k, one.n, one.m) for one in once.out] == [("a", 1, 2)]
    sliding = drive(
        "window-join", records, types=TYPES, times=[0, SECOND], params={"window": {"kind": "sliding", "size_s": 10, "slide_s": 5}}
    )
    assert [(one.window_end - one.window_start).seconds for one in sliding.out] == [10, 10]


def test_a_late_record_is_counted_unless_the_window_waits_for_it(drive: Drive) -> None:
    records, times = [*RECORDS[1:2], *RECORDS[4:5], RECORDS[0]], [0, 12 * SECOND, 5 * SECOND]
    for lateness_s, late, pairs in ((0, 1, 0), (5, 0, 1)):
        params = {"key": "k", "window": WINDOW, "lateness_s": lateness_s}
        found = drive("window-join", records, types=TYPES, times=times, params=params)
        assert (found.late, len(found.out)) == (late, pairs)


def test_the_result_does_not_depend_on_batches() -> None:
    inputs = {"left": [{"k": n % 3, "n": n} for n in range(40)], "right": [{"k": n % 5, "m": n} for n in range(40)]}
    times = {"left": [n * SECOND for n in range(40)], "right": [n * SECOND + 1 for n in range(40)]}
    params = {"key": "k", "window": WINDOW}
    digests = {run_component(WindowJoin, inputs, params, times=times, batch=batch).digest for batch in (1, 7, 100)}
    assert len(digests) == 1


def test_too_many_records_of_a_window_are_faulty(drive: Drive) -> None:
    with pytest.raises(RecordError, match="more than 1 left records"):
        drive("window-join", [RECORDS[1], RECORDS[2]], types=TYPES, params={"window": WINDOW, "max_records": 1})


def test_windows_without_an_end_and_doubled_fields_are_refused(drive: Drive) -> None:
    for window in ("none", {"kind": "session", "gap_s": 1}):
        with pytest.raises(ValidationError):
            drive("window-join", types=TYPES, params={"window": window})
    with pytest.raises(RejectedError, match="'window_end' would be there twice"):
        drive("window-join", types=TYPES | {"right": "record{window_end: int}"}, params={"window": "day"})
    with pytest.raises(RejectedError, match="right: int is no record"):
        drive("window-join", types=TYPES | {"right": "int"}, params={"window": "day"})
