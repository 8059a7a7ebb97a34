"""The components of the weather example."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from thalweg import RejectedError
from thalweg.graph.types import format_type

DAY = "record{key: str, n: int, x: float?}"


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_weather_becomes_one_row_a_month(drive: Callable[..., Any], examples: Path, tmp_path: Path) -> None:
    rows = drive("csv-source", files={"table": examples / "weather/data/seattle-weather.csv"}, params={"time": "date"})
    assert format_type(rows.types["out"]).startswith("record{date: timestamp, precipitation: float, temp_max: float")
    assert len(rows.out) == 1461
    kind = rows.types["out"]
    wet = drive("filter", rows.out, types={"in": kind}, params={"where": "precipitation > 0"})
    times = [time for time, row in zip(rows.times, rows.out, strict=True) if row.precipitation > 0]
    monthly = drive(
        "aggregate",
        wet.out,
        types={"in": kind},
        times=times,
        params={
            "window": "month",
            "aggregates": {
                "days": {"op": "count"},
                "rain": {"op": "sum", "field": "precipitation"},
                "wind": {"op": "mean", "field": "wind"},
            },
        },
    )
    assert sum(row.days for row in monthly.out) == len(wet.out)
    assert sum(row.rain for row in monthly.out) == pytest.approx(sum(row.precipitation for row in rows.out))
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for path in paths:
        drive("parquet-file", monthly.out, types={"in": monthly.types["out"]}, generated={"file": path}, params={"row_group_rows": 10})
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert pq.read_table(paths[0]).num_rows == len(monthly.out)
    back = drive("parquet-source", files={"table": paths[0]})
    assert back.rows() == monthly.rows()
    resumed = drive("parquet-source", files={"table": paths[0]}, cursor=back.cursors[11])
    assert resumed.rows() == monthly.rows()[12:]


def test_a_csv_source_goes_on_behind_any_cursor(drive: Callable[..., Any], tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", '\ufeffid,text\n1,"two\nlines"\n\n2,é\n3,\n')
    whole = drive("csv-source", files={"table": table})
    assert format_type(whole.types["out"]) == "record{id: int, text: str?}"
    assert whole.rows() == [(1, "two\nlines"), (2, "é"), (3, None)]
    for taken, cursor in enumerate(whole.cursors, 1):
        assert drive("csv-source", files={"table": table}, cursor=cursor).rows() == whole.rows()[taken:]


def test_faulty_rows_are_named_and_do_not_stop_the_others(drive: Callable[..., Any], tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", b"id,wind\n1,2.5\n2\n3,x\n4,\xff\n5,1\n")
    found = drive("csv-source", files={"table": table}, params={"columns": {"wind": "float"}})
    assert found.rows() == [(1, 2.5), (5, 1.0)]
    messages = [str(fault.error) for fault in found.faults]
    assert messages[0] == "row 2: has 1 cells, the header has 2"
    assert messages[1] == "row 3, column wind: 'x' is not float"
    assert messages[2].startswith("row 4: byte ")


def test_an_unknown_column_is_rejected(drive: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="did you mean 'wind'"):
        drive("csv-source", files={"table": write(tmp_path / "t.csv", "id,wind\n1,2\n")}, params={"columns": {"wnd": "float"}})


@pytest.mark.parametrize("restart_at", [None, 1, 3, 5])
def test_windows_survive_a_restart(drive: Callable[..., Any], restart_at: int | None) -> None:
    second = 1_000_000_000
    records = [
        {"key": key, "n": n, "x": x}
        for key, n, x in [("b", 1, None), ("a", 2, 1.0), ("a", 3, 3.0), ("a", 4, None), ("b", 5, 2.0), ("a", 9, 0.0)]
    ]
    times = [0, 1, second, 5 * second, 11 * second, 12 * second]
    found = drive(
        "aggregate",
        records,
        types={"in": DAY},
        times=times,
        restart_at=restart_at,
        params={
            "key": "key",
            "window": {"kind": "tumbling", "size_s": 10},
            "aggregates": {
                "count": {"op": "count"},
                "total": {"op": "sum", "field": "n"},
                "median": {"op": "quantile", "field": "x", "q": 0.5},
                "low": {"op": "min", "field": "x"},
            },
        },
    )
    assert [row[2:] for row in found.rows()] == [
        ("a", 3, 9, 2.0, 1.0),
        ("b", 1, 1, None, None),
        ("a", 1, 9, 0.0, 0.0),
        ("b", 1, 5, 2.0, 2.0),
    ]


def test_sessions_that_touch_become_one(drive: Callable[..., Any]) -> None:
    second = 1_000_000_000
    records = [{"key": "a", "n": 1, "x": None}] * 4
    found = drive(
        "aggregate",
        records,
        types={"in": DAY},
        times=[0, 4 * second, 20 * second, 22 * second],
        params={"window": {"kind": "session", "gap_s": 5}, "aggregates": {"count": {"op": "count"}}},
    )
    assert [row[2] for row in found.rows()] == [2, 2]


def test_an_aggregate_that_does_not_apply_is_rejected(drive: Callable[..., Any]) -> None:
    with pytest.raises(RejectedError, match="sum does not apply to 'key', which is str"):
        drive("aggregate", types={"in": DAY}, params={"aggregates": {"s": {"op": "sum", "field": "key"}}})
