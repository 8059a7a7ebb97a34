"""The components that work on any records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thalweg.graph.pipeline import Pipeline
from thalweg.graph.types import format_type
from thalweg.testing import run_component, run_graph
from thalweg_components.processors.sort_by_time import SortByTime

SECOND = 1_000_000_000
KIND = "record{k: str, n: int}"


def given(*pairs: tuple[str, int]) -> list[dict[str, Any]]:
    return [{"k": k, "n": n} for k, n in pairs]


def test_map_adds_and_replaces_and_select_keeps(drive: Callable[..., Any]) -> None:
    mapped = drive("map", given(("a", 3)), types={"in": KIND}, params={"fields": {"n": "n * 2.5", "big": "n > 2"}})
    assert format_type(mapped.types["out"]) == "record{k: str, n: float, big: bool}"
    assert mapped.rows() == [("a", 7.5, True)]
    assert drive("select", given(("a", 3)), types={"in": KIND}, params={"fields": ["n"]}).rows() == [(3,)]
    assert drive("select", given(("a", 3)), types={"in": KIND}, params={"fields": {"m": "n + 1"}}).rows() == [(4,)]


@pytest.mark.parametrize("restart_at", [None, 2])
def test_duplicates_pass_again_after_the_bound(drive: Callable[..., Any], restart_at: int | None) -> None:
    found = drive(
        "deduplicate",
        given(("a", 1), ("b", 2), ("a", 3), ("a", 4)),
        types={"in": KIND},
        times=[0, 1, 2, 2_000_000_000],
        params={"key": "k", "within_s": 1},
        restart_at=restart_at,
    )
    assert [one.n for one in found.out] == [1, 2, 4]


@pytest.mark.parametrize("restart_at", [None, 2])
def test_records_are_sorted_within_the_lateness(drive: Callable[..., Any], restart_at: int | None) -> None:
    found = drive(
        "sort-by-time",
        given(("a", 3), ("a", 1), ("a", 5), ("a", 0)),
        types={"in": KIND},
        restart_at=restart_at,
        params={"lateness_s": 2e-9, "time": "n"},
    )
    assert [one.n for one in found.out] == [1, 3, 5]
    assert found.times == [1, 3, 5]


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_records_are_sorted_by_their_event_times_however_they_arrive(batch: int) -> None:
    times = [second * SECOND for second in (0, 3, 1, 20, 14, 15, 16, 40, 20, 21)]
    found = run_component(SortByTime, list(range(10)), params={"lateness_s": 5}, times=times, batch=batch)
    assert (found.out, found.counters.late) == ([0, 2, 1, 5, 6, 3, 7], 3)
    assert found.times["out"] == sorted(found.times["out"])


def test_what_sort_by_time_held_back_is_not_late_behind_it() -> None:
    vertices = {
        "numbers": {"component": "random-source@1.0.0", "params": {"seed": 1, "count": 40, "fields": {"n": {"kind": "int", "high": 9}}}},
        "sorted": {"component": "sort-by-time@1.0.0", "params": {"lateness_s": 5}},
        "counts": {
            "component": "aggregate@1.0.0",
            "params": {"window": {"kind": "tumbling", "size_s": 2}, "aggregates": {"count": {"op": "count"}}},
        },
    }
    pipeline = Pipeline.model_validate(
        {"backend": "b", "vertices": vertices, "edges": ["numbers.out -> sorted.in", "sorted.out -> counts.in"]}
    )
    counts = run_graph(pipeline, base=Path())["counts"]
    assert (counts.counters.late, [one.count for one in counts.out]) == (0, [2] * 20)


@pytest.mark.parametrize("restart_at", [None, 1, 2])
def test_a_join_pairs_within_the_bound(drive: Callable[..., Any], restart_at: int | None) -> None:
    records = [("left", {"k": "a", "n": 1}), ("right", {"k": "a", "m": 2}), ("right", {"k": "b", "m": 3}), ("right", {"k": "a", "m": 4})]
    found = drive(
        "join",
        records,
        types={"left": KIND, "right": "record{k: str, m: int}"},
        times=[0, 5, 6, 2_000_000_000],
        params={"key": "k", "within_s": 1},
        restart_at=restart_at,
    )
    assert found.rows() == [("a", 1, 2)]
    assert found.times == [5]


def test_json_lines_round_trip(drive: Callable[..., Any], tmp_path: Path) -> None:
    lines = tmp_path / "in.jsonl"
    text = b'{"id":1,"x":1,"at":"2020-01-01T00:00:00Z"}\n{"id":2,"x":1.5,"tags":["a"]}\n{"id":"x"}\nnot json\n'
    lines.write_bytes(text)
    declared = "record{id: int, x: float, at: timestamp?, tags: list[str]?}"
    found = drive("jsonl-source", files={"lines": lines}, params={"record": declared})
    assert [(one.id, one.x, one.tags) for one in found.out] == [(1, 1.0, None), (2, 1.5, ["a"])]
    assert str(found.faults[0].error).startswith("line 3: Expected `int`, got `str` - at `$.id`")
    assert drive("jsonl-source", files={"lines": lines}, params={"record": declared}, cursor=found.cursors[0]).out == found.out[1:]
    lines.write_bytes(text.splitlines(keepends=True)[0] + text.splitlines(keepends=True)[1])
    inferred = drive("jsonl-source", files={"lines": lines})
    assert format_type(inferred.types["out"]) == "record{id: int, x: float, at: timestamp?, tags: list[str]?}"
    out = tmp_path / "out.jsonl"
    drive("jsonl-file", inferred.out, types={"in": inferred.types["out"]}, generated={"file": out})
    assert out.read_bytes().splitlines()[1] == b'{"id":2,"x":1.5,"at":null,"tags":["a"]}'


def test_a_csv_file_reads_back(drive: Callable[..., Any], tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    drive("csv-file", given(("a,b", 1), ("c", 2)), types={"in": KIND}, generated={"file": table})
    assert table.read_text() == 'k,n\n"a,b",1\nc,2\n'
    assert drive("csv-source", files={"table": table}).rows() == [("a,b", 1), ("c", 2)]
