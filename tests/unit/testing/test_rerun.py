"""A replay as a fixture: run again in memory, and as what a manifest feeds and expects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from thalweg.errors import RejectedError
from thalweg.graph.pipeline import Pipeline
from thalweg.graph.plan import Plan, check_pipeline
from thalweg.replay.reader import Replay
from thalweg.sdk.catalog import Catalog
from thalweg.testing import run_replay
from thalweg.testing.arranging import Arranged, arrange
from thalweg.testing.checks import Verdict
from thalweg.testing.expectations import Assertion, Outcome, assertions_of
from thalweg.testing.manifest import Case
from thalweg.testing.run import run_plan
from unit.replay.runs import capture

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
CONTENT = {
    "backend": "orders",
    "vertices": {
        "rows": {"component": "csv-source@1.0.0", "files": {"table": "rows.csv"}, "params": {"time": "t"}},
        "big": {"component": "filter@1.0.0", "params": {"where": "n > 3"}},
        "twice": {"component": "select@1.0.0", "params": {"fields": {"n": "n * 2"}}},
        "merged": {"component": "sort-by-time@1.0.0", "params": {"lateness_s": 0}},
        "save": {"component": "jsonl-file@1.0.0"},
    },
    "edges": ["rows.out -> big.in", "big.out -> twice.in", "twice.out -> merged.in", "merged.out -> save.in"],
}


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("orders")
    (folder / "rows.csv").write_text("n,t\n" + "".join(f"{n},{n * 1000}\n" for n in range(20)))
    found = capture(folder / "run.mcap", CONTENT, Catalog(), folder)
    (folder / "rows.csv").unlink()  # nobody needs it any more
    return found


def test_a_replay_runs_again_in_memory_and_gives_the_same(replay: Path, tmp_path: Path) -> None:
    found = run_replay(replay, workdir=tmp_path)
    assert found.is_same and found.first is None, str(found)
    assert [(one.vertex, one.before, one.after) for one in found.changes] == [("big", 16, 16), ("twice", 16, 16), ("merged", 16, 16)]
    assert len(found.results["save"].generated["file"].read_text().splitlines()) == 16


def test_what_a_change_makes_otherwise_is_told_by_port_and_first_record(replay: Path, tmp_path: Path) -> None:
    found = run_replay(replay, sets={"big.where": "n > 5", "twice.fields": {"n": "n * 3"}}, workdir=tmp_path)
    assert [(one.missing, one.added, one.changed) for one in found.changes] == [
        (2, 0, 0),
        (2, 0, 14),
        (3, 1, 13),
    ]  # the last one is given at the end, and numbered by how many there are
    assert found.first is not None and (found.first.vertex, found.first.index) == ("big", 0)
    assert str(found).startswith("big.out: 16 records, now 14: 2 missing\n")


def test_a_vertex_is_given_as_it_was_recorded(replay: Path, tmp_path: Path) -> None:
    found = run_replay(replay, sets={"big.where": "n > 5"}, recorded=["big"], workdir=tmp_path)
    assert found.is_same and [one.vertex for one in found.changes] == ["twice", "merged"]


def test_a_param_of_no_vertex_is_refused(replay: Path) -> None:
    with pytest.raises(RejectedError) as caught:
        run_replay(replay, sets={"bog.where": "n > 5"})
    assert caught.value.code == "override.invalid"


def _arranged(path: Path, **case: Any) -> Arranged:
    found = Case.model_validate({"name": "a", "expect": [{"vertex": "save", "dead": 0}], **case})
    return arrange(Pipeline.model_validate(CONTENT), found, {}, path.parent, {})


def _plan(path: Path, **case: Any) -> Plan:
    arranged = _arranged(path, **case)
    assert not arranged.misfits, arranged.misfits
    return check_pipeline(Pipeline.model_validate(arranged.content), Catalog(), path.parent)


def _verdicts(plan: Plan, assertions: list[Assertion], tmp_path: Path) -> list[Verdict]:
    results = run_plan(plan, Catalog(), workdir=tmp_path)
    for one in assertions:
        assert one.port is not None and one.check is not None
        for value in results[one.port[0]].outputs[one.port[1]]:
            one.check.take(value)
    return [one.judge(Outcome({}, lambda artifact, name: Path())) for one in assertions]


def test_a_case_runs_on_the_records_of_a_replay_and_expects_its_ports(replay: Path, tmp_path: Path) -> None:
    expect: list[Any] = [{"replay": "run.mcap"}, {"port": "big.out", "golden": "run.mcap"}]
    case = Case.model_validate({"name": "a", "replay": "run.mcap", "expect": expect})
    plan = _plan(replay, replay="run.mcap")
    assertions, misfits = assertions_of(case.expect, plan, replay.parent, update=False)
    assert not misfits and [one.key for one in assertions] == [
        "expect.0.replay.big.out",
        "expect.0.replay.twice.out",
        "expect.0.replay.merged.out",
        "expect.1.golden",
    ]
    assert all(one.is_met for one in _verdicts(plan, assertions, tmp_path))
    changed = _plan(replay, replay="run.mcap", set={"twice.fields": {"n": "n * 2 + 1"}})
    assertions, _ = assertions_of(case.expect, changed, replay.parent, update=False)
    found = _verdicts(changed, assertions, tmp_path)
    assert [one.is_met for one in found] == [True, False, False, True] and found[1].reason == "record 0: n is 9, expected 8"


def test_a_port_is_replaced_by_what_it_had_in_a_replay(replay: Path, tmp_path: Path) -> None:
    plan = _plan(replay, replace={"twice.out": "run.mcap"})
    assert {one.name: one.manifest.name for one in plan.vertices}["twice"] == "replay-source" and len(plan.vertices) == 3
    results = run_plan(plan, Catalog(), workdir=tmp_path)
    assert results["merged"].digest == Replay(replay).digest("merged", "out")[1]


def test_what_does_not_fit_of_a_replay_is_told(replay: Path) -> None:
    case = Case.model_validate({"name": "a", "expect": [{"port": "save.out", "golden": "run.mcap"}, {"replay": "no.mcap"}]})
    assertions, misfits = assertions_of(case.expect[1:], _plan(replay, replay="run.mcap"), replay.parent, update=False)
    assert not assertions and [one.message for one in misfits] == ["no.mcap is not there"]
    assert [one.message for one in _arranged(replay, replay="run.jsonl").misfits] == [
        "run.jsonl: a replay is an .mcap file, a fixture a .fixture.jsonl file"
    ]
    timed = _arranged(replay, replace={"twice.out": {"file": "run.mcap", "time": "n"}}).misfits
    assert [one.message for one in timed] == ["the records of a replay, or of a fixture, have their times"]
    assert [one.message for one in _arranged(replay, live=["big"]).misfits] == ["without a replay, all vertices run live"]
    artifact = Case.model_validate({"name": "a", "expect": [{"replay": "sha256:" + "0" * 64}]})
    _, misfits = assertions_of(artifact.expect, _plan(replay, replay="run.mcap"), replay.parent, update=False)
    assert "no file store is given" in misfits[0].message
    _, misfits = assertions_of(
        artifact.expect, _plan(replay, replay="run.mcap"), replay.parent, update=False, fetch=lambda artifact: replay
    )
    assert not misfits


def test_a_replay_that_was_kept_is_read_and_gives_the_same_for_ever(tmp_path: Path) -> None:
    kept = EXAMPLES / "library/data/winter.mcap"  # of the first version of the format: never to be made anew
    assert Replay(kept).verify()
    found = run_replay(kept, workdir=tmp_path)
    assert found.is_same and [(one.vertex, one.before) for one in found.changes] == [("wet", 63), ("monthly", 3)], str(found)


def test_files_of_vertices_that_run_are_given(tmp_path: Path) -> None:
    (tmp_path / "cities.csv").write_text("n,city\n1,Ulm\n2,Bonn\n")
    (tmp_path / "rows.csv").write_text("n\n2\n1\n")
    vertices = {
        "rows": {"component": "csv-source@1.0.0", "files": {"table": "rows.csv"}},
        "named": {"component": "enrich@1.0.0", "params": {"key": {"n": "n"}, "add": ["city"]}, "files": {"table": "cities.csv"}},
    }
    content = {"backend": "cities", "vertices": vertices, "edges": ["rows.out -> named.in"]}
    replay = capture(tmp_path / "run.mcap", content, Catalog(), tmp_path, {"named.table": "sha256:" + "0" * 64})
    with pytest.raises(RejectedError, match="named reads a file in slot table"):
        run_replay(replay)
    assert run_replay(replay, files={"named.table": tmp_path / "cities.csv"}).is_same
