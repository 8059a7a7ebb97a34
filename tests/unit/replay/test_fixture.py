"""Fixtures: records in a file that can be edited, run and tested with; what is edited wrongly is told by line and path."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from thalweg import Image
from thalweg.errors import RejectedError, RunFailedError
from thalweg.graph.parse import parse_type
from thalweg.graph.pipeline import Pipeline
from thalweg.replay.feeds import open_feed
from thalweg.replay.fixture import Fixture, encode_head, encode_record
from thalweg.sdk.records import python_type
from thalweg.testing import run_component, run_graph
from thalweg.testing.arranging import arrange
from thalweg.testing.manifest import Case
from thalweg_cli.main import app
from thalweg_components.sources.fixture_source import FixtureSource
from unit.replay.runs import capture

KIND = "record{n: int, at: timestamp, took: duration, data: bytes, more: float?}"
NOW_NS = 1_780_000_000_123_456_789
PIPELINE: dict[str, Any] = {
    "backend": "rows",
    "vertices": {
        "rows": {"component": "timer-source@1.0.0", "params": {"every_s": 1, "live": True}},
        "door": {"component": "http-in@1.0.0", "params": {"type": "record{n: int}"}},
        "twice": {"component": "select@1.0.0", "params": {"fields": {"n": "n * 2"}}},
        "some": {"component": "filter@1.0.0", "params": {"where": "index < 2"}},
    },
    "edges": ["door.out -> twice.in", "rows.out -> some.in"],
    "aliases": {"in": "door.in"},
}


def _value(n: int) -> Any:
    return python_type(parse_type(KIND))(n, datetime(2026, 1, 2, 3, 4, 5, 6, UTC), timedelta(seconds=90), b"\x00\xff", None)


def _fixture(path: Path) -> Path:
    """Two numbers of a door, four ticks of rows."""
    ports = {("door", "out"): parse_type("record{n: int}"), ("rows", "out"): parse_type("record{index: int, time: timestamp}")}
    lines = [encode_head("rows", "live", ports)]
    tick = python_type(ports["rows", "out"])
    for n in range(4):
        lines.append(encode_record("rows", "out", NOW_NS + n, tick(n, datetime(2026, 1, 1, tzinfo=UTC)), ports["rows", "out"]))
    for n in (20, 21):
        lines.append(encode_record("door", "out", n, python_type(ports["door", "out"])(n), ports["door", "out"]))
    path.write_bytes(b"".join(lines))
    return path


def test_values_and_event_times_are_the_same_when_they_are_read_again(tmp_path: Path) -> None:
    kind, path = parse_type(KIND), tmp_path / "a.fixture.jsonl"
    times = [0, 17, NOW_NS]
    lines = [encode_record("v", "out", time_ns, _value(time_ns), kind) for time_ns in times]
    path.write_bytes(encode_head("graph", "live", {("v", "out"): kind}) + b"".join(lines))
    assert json.loads(lines[2])["time"] == "2026-05-28T20:26:40.123456789Z" and json.loads(lines[1])["time"] == 17
    found = list(Fixture(path).records("v", "out"))
    assert [one.time_ns for one in found] == times and [one.value for one in found] == [_value(one) for one in times]


def test_an_image_is_in_the_file_itself(tmp_path: Path) -> None:
    path, image = tmp_path / "a.fixture.jsonl", Image("jpeg", 2, 1, b"\xff\xd8 not really")
    kind = parse_type("image<jpeg>")
    path.write_bytes(encode_head("g", "live", {("camera", "out"): kind}) + encode_record("camera", "out", 5, image, kind))
    assert [one.value for one in Fixture(path).records("camera", "out")] == [image]


def test_what_json_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RejectedError) as refused:
        encode_record("v", "out", 0, float("nan"), parse_type("float"))
    assert refused.value.code == "fixture.unwritable"


def test_a_fixture_stands_for_sources_and_what_is_edited_counts_with_ids_of_its_own(tmp_path: Path) -> None:
    path = _fixture(tmp_path / "live.fixture.jsonl")
    found = run_graph(Pipeline.model_validate(PIPELINE), base=tmp_path, replay=path)
    assert [one.n for one in found["twice"].out] == [40, 42] and [one.index for one in found["some"].out] == [0, 1]
    assert found["rows"].times["out"] == [NOW_NS + n for n in range(4)]
    lines = path.read_text().splitlines()
    edited = [*lines[:-2], lines[-1].replace('{"n":21}', '{"n":5}'), lines[-1].replace('"time":21,', "")]
    path.write_text("\n".join(edited) + "\n")
    again = run_graph(Pipeline.model_validate(PIPELINE), base=tmp_path, replay=path)
    assert [one.n for one in again["twice"].out] == [10, 42] and again["door"].times["out"] == [21, 1]


def test_a_record_that_was_edited_wrongly_is_told_by_line_and_path(tmp_path: Path) -> None:
    path = _fixture(tmp_path / "live.fixture.jsonl")
    text = path.read_text()
    for wrong, said in {
        text.replace('{"n":21}', '{"n":"many"}'): "line 7: door.out: Expected `int`, got `str` - at `$.n`",
        text.replace('"time":21', '"time":"soon"'): "line 7: door.out: time: 'soon' is no time",
        text + "and so on\n": "line 8: JSON is malformed",
        text + '{"port":"gate.out","value":1}\n': "line 8: line 1 does not name the port 'gate.out'",
    }.items():
        path.write_text(wrong)
        with pytest.raises(RunFailedError) as failed:
            run_component(FixtureSource, params={"vertex": "door"}, files={"fixture": path})
        assert said in str(failed.value), failed.value
        dead = run_component(FixtureSource, params={"vertex": "door"}, files={"fixture": path}, on_error="dead-letter")
        assert dead.counters.dead == 1 and len(dead.out) >= 1


def test_a_file_that_is_no_fixture_or_lacks_a_source_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.fixture.jsonl"
    path.write_text('{"n": 1}\n')
    with pytest.raises(RejectedError, match="line 1: this is no fixture"):
        open_feed(path)
    one = _fixture(tmp_path / "live.fixture.jsonl")
    for only, code in {"some": "replay.no_source", "nobody": "vertex.unknown"}.items():
        with pytest.raises(RejectedError) as refused:
            run_graph(Pipeline.model_validate(PIPELINE), base=tmp_path, replay=one, replace=[only])
        assert refused.value.code == code
    other = {**PIPELINE, "vertices": {**PIPELINE["vertices"], "gate": PIPELINE["vertices"]["door"]}, "edges": ["gate.out -> twice.in"]}
    with pytest.raises(RejectedError) as refused:
        run_graph(Pipeline.model_validate(other), base=tmp_path, replay=one, replace=["gate"])
    assert refused.value.code == "replay.no_input" and refused.value.hint == "it has door.out, rows.out"


def test_one_source_alone_is_replaced_by_a_replay(tmp_path: Path) -> None:
    (tmp_path / "n.jsonl").write_text('{"n": 1}\n{"n": 2}\n')
    rows = {"component": "jsonl-source@1.0.0", "files": {"lines": "n.jsonl"}}
    twice = {"component": "select@1.0.0", "params": {"fields": {"n": "n * 2"}}}
    content = {
        "backend": "two",
        "vertices": {"a": rows, "b": rows, "aa": twice, "bb": twice},
        "edges": ["a.out -> aa.in", "b.out -> bb.in"],
    }
    from thalweg.sdk.catalog import Catalog

    replay = capture(tmp_path / "run.mcap", content, Catalog(), tmp_path)
    (tmp_path / "n.jsonl").write_text('{"n": 7}\n')
    found = run_graph(Pipeline.model_validate(content), base=tmp_path, replay=replay, replace=["a"])
    assert ([one.n for one in found["aa"].out], [one.n for one in found["bb"].out]) == ([2, 4], [14])


def test_a_manifest_takes_a_fixture_for_all_sources_or_for_a_port(tmp_path: Path) -> None:
    _fixture(tmp_path / "live.fixture.jsonl")
    pipeline = Pipeline.model_validate(PIPELINE)
    for how in ({"replay": "live.fixture.jsonl"}, {"replace": {"door.out": "live.fixture.jsonl", "rows.out": "live.fixture.jsonl"}}):
        case = Case.model_validate({"name": "x", "expect": [{"port": "twice.out", "count": 2}], **how})
        arranged = arrange(pipeline, case, {}, tmp_path, {})
        assert arranged.misfits == []
        found = run_graph(Pipeline.model_validate(arranged.content), base=tmp_path)
        assert [one.n for one in found["twice"].out] == [40, 42]


def test_what_is_wrong_with_what_is_asked_for_is_told(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(msgspec.json.encode(PIPELINE).decode())
    for words, said in {
        ("--replace", "door"): "--replace needs the file with the records",
        ("--replay", "nowhere.mcap"): "nowhere.mcap: No such file or directory",
        ("--replay", "nowhere.fixture.jsonl"): "nowhere.fixture.jsonl: No such file or directory",
    }.items():
        done = CliRunner().invoke(app, ["run", str(path), *words])
        assert done.exit_code in (2, 3) and said in done.output, done.output
    done = CliRunner().invoke(app, ["replay", "capture-fixture", "live", "--out", "live.json"])
    assert done.exit_code == 2 and "a fixture is a .fixture.jsonl file" in done.output
