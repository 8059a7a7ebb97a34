"""Data at the edges of what formats hold: it travels, or is told with its place."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from thalweg import RecordError
from thalweg.graph.types import format_type

SECOND = 1_000_000_000
COUNT = {"count": {"op": "count"}}
Drive = Callable[..., Any]


@pytest.mark.parametrize("restart_at", [None, 1, 2])
def test_durations_live_through_a_restart(drive: Drive, restart_at: int | None) -> None:
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    records = [{"d": dt.timedelta(seconds=s), "a": start, "b": start + dt.timedelta(seconds=s)} for s in (5, 3, 5)]
    found = drive(
        "aggregate",
        records,
        types={"in": "record{d: duration, a: timestamp, b: timestamp}"},
        params={"key": "d", "aggregates": {"longest": {"op": "max", "field": "b - a"}, "last": {"op": "max", "field": "b"}}},
        restart_at=restart_at,
    )
    longest = {one.d: (one.longest, one.last) for one in found.out}
    assert longest == {dt.timedelta(seconds=s): (dt.timedelta(seconds=s), start + dt.timedelta(seconds=s)) for s in (3, 5)}


@pytest.mark.parametrize("restart_at", [None, 2])
def test_nan_infinity_and_null_are_keys_of_their_own(drive: Drive, restart_at: int | None) -> None:
    keys = [math.nan, None, math.inf, math.nan]
    records = [{"k": key, "n": 1} for key in keys]
    types = {"in": "record{k: float?, n: int}"}
    counted = drive("aggregate", records, types=types, params={"key": "k", "aggregates": COUNT}, restart_at=restart_at)
    assert [(str(one.k), one.count) for one in counted.out] == [("None", 1), ("inf", 1), ("nan", 2)]
    assert len(drive("deduplicate", records, types=types, params={"key": "k"}, restart_at=restart_at).out) == 3
    sides = [("left", {"k": None, "n": 1}), ("right", {"k": math.nan, "m": 2}), ("right", {"k": None, "m": 3})]
    both = {"left": types["in"], "right": "record{k: float?, m: int}"}
    assert [one.m for one in drive("join", sides, types=both, params={"key": "k", "within_s": 1}).out] == [3]


def test_a_record_of_a_session_that_is_open_is_not_late(drive: Drive) -> None:
    times = [second * SECOND for second in (0, 9, 18, 5)]
    window = {"kind": "session", "gap_s": 10}
    found = drive("aggregate", [{"n": 1}] * 4, types={"in": "record{n: int}"}, params={"window": window, "aggregates": COUNT}, times=times)
    assert ([one.count for one in found.out], found.late) == ([4], 0)


def test_a_quantile_of_infinities_is_infinite(drive: Drive) -> None:
    params = {"aggregates": {"q": {"op": "quantile", "field": "x", "q": 0.5}}}
    assert drive("aggregate", [{"x": math.inf}] * 2, types={"in": "record{x: float}"}, params=params).rows() == [(math.inf,)]


@pytest.mark.parametrize("window", [{"kind": "tumbling", "size_s": 1e-10}, {"kind": "session", "gap_s": 1e12}])
def test_windows_have_a_shortest_and_a_longest_length(drive: Drive, window: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        drive("aggregate", [], types={"in": "record{n: int}"}, params={"window": window, "aggregates": COUNT})


def test_an_event_time_beyond_64_bits_is_a_faulty_record(drive: Drive, tmp_path: Path) -> None:
    records = [{"t": dt.datetime(9999, 12, 31, tzinfo=dt.UTC)}]
    with pytest.raises(RecordError, match="not between the years 1677 and 2262"):
        drive("aggregate", records, types={"in": "record{t: timestamp}"}, params={"time": "t", "window": "month", "aggregates": COUNT})
    (tmp_path / "t.csv").write_text("t,b\n2020-01-01,0\n2300-01-01,1\n2020-01-02,2\n")
    found = drive("csv-source", files={"table": tmp_path / "t.csv"}, params={"time": "t"})
    assert [one.b for one in found.out] == [0, 2]
    assert str(found.faults[0].error).startswith("row 2, column t: the event time 2300-01-01")


def test_a_moment_before_the_year_1_is_a_faulty_cell(drive: Drive, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("t\n0001-01-01T00:00:00+05:00\n")
    found = drive("csv-source", files={"table": tmp_path / "t.csv"}, params={"columns": {"t": "timestamp"}})
    assert "is not timestamp" in str(found.faults[0].error)


def test_long_cells_of_many_lines_and_bare_returns_are_read_back(drive: Drive, tmp_path: Path) -> None:
    cells = ["line\n" * 40_000, "a\rb", ""]
    table = tmp_path / "t.csv"
    drive("csv-file", [{"a": cell, "b": 1} for cell in cells], types={"in": "record{a: str, b: int}"}, generated={"file": table})
    found = drive("csv-source", files={"table": table}, params={"null_values": []})
    assert [one.a for one in found.out] == cells


def test_json_lines_may_have_a_byte_order_mark_and_any_keys(drive: Drive, tmp_path: Path) -> None:
    lines = tmp_path / "l.jsonl"
    text = '\ufeff{"from": 1, "größe": {"wind speed": 2.5}, "_id": 3}\n{"from": 2, "größe": {"wind speed": 3.5}, "_id": 4}\n'
    lines.write_bytes(text.encode())
    found = drive("jsonl-source", files={"lines": lines})
    assert format_type(found.types["out"]) == "record{from_: int, gr_e: record{wind_speed: float}, _id: int}"
    assert [(one.from_, one.gr_e.wind_speed, one._id) for one in found.out] == [(1, 2.5, 3), (2, 3.5, 4)]
    again = drive("jsonl-source", files={"lines": lines}, cursor=found.cursors[0])
    assert again.out == found.out[1:]


def test_a_parquet_row_without_a_value_in_streams_is_told_and_passed_over(drive: Drive, tmp_path: Path) -> None:
    table = pa.table(
        {
            "wind speed": pa.array([[1], [2, None], [3]]),
            "m": pa.array([[("a", 1)], [], []], type=pa.map_(pa.string(), pa.int64())),
            "t": pa.array([1, 1001, 2**62], type=pa.timestamp("ns")),
            "u": pa.array([[1], [2], [3]], type=pa.list_(pa.timestamp("ns"))),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    found = drive("parquet-source", files={"table": tmp_path / "t.parquet"})
    assert str(found.faults[0].error).startswith("row 1 of row group 0")
    pq.write_table(table.drop_columns(["u"]), tmp_path / "t.parquet")
    found = drive("parquet-source", files={"table": tmp_path / "t.parquet"})
    assert [(one.wind_speed, one.m) for one in found.out] == [([1], {"a": 1}), ([3], {})]
    assert [str(one.error).partition(":")[0] for one in found.faults] == ["row 2 of row group 0"]
    assert drive("parquet-source", files={"table": tmp_path / "t.parquet"}, cursor=found.cursors[1]).out == found.out[1:]


def test_json_at_any_depth_goes_into_parquet_as_text(drive: Drive, tmp_path: Path) -> None:
    file, kind = tmp_path / "t.parquet", "record{a: list[json], b: record{j: json, m: map[json]}?, i: int}"
    records = [{"a": [{"x": 1}], "b": {"j": [1], "m": {"k": None}}, "i": 1}, {"a": [], "b": None, "i": 2}]
    drive("parquet-file", records, types={"in": kind}, generated={"file": file})
    assert pq.read_table(file).to_pylist() == [
        {"a": ['{"x":1}'], "b": {"j": "[1]", "m": [("k", "null")]}, "i": 1},
        {"a": [], "b": None, "i": 2},
    ]
    with pytest.raises(RecordError, match="9223372036854775808 is no int of 64 bits"):
        drive("parquet-file", [{"a": [], "b": None, "i": 2**63}], types={"in": kind}, generated={"file": file})


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as out:
        stream = out.add_stream("libx264", rate=25, options={"g": "25", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(50):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), index * 4, np.uint8), format="bgr24")
            frame.pts = index
            for packet in [*stream.encode(frame), *(stream.encode() if index == 49 else [])]:
                out.mux(packet)
    return path


def test_a_video_that_was_cut_without_encoding_it_anew_is_whole(drive: Drive, tmp_path: Path, video: Path) -> None:
    cut = tmp_path / "cut.mp4"
    shift = 5120  # ten frames of the file's time base, 1/12800 s
    with av.open(str(video)) as source, av.open(str(cut), "w", options={"avoid_negative_ts": "disabled"}) as out:
        stream = source.streams.video[0]
        copy = out.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None and packet.pts is not None:
                packet.stream, packet.pts, packet.dts = copy, packet.pts - shift, packet.dts - shift
                out.mux(packet)
    assert len(drive("video-file-source", files={"video": cut}).out) == 40


def test_a_truncated_video_is_still_told(drive: Drive, video: Path) -> None:
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 2 // 3])
    with pytest.raises(RecordError, match=r"cannot be decoded|ends after"):
        drive("video-file-source", files={"video": video})
