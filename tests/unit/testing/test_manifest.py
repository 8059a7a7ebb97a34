"""Manifests of tests: what they may say, and how their faults are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from thalweg.errors import RejectedError
from thalweg.graph.pipeline import Pipeline
from thalweg.graph.plan import check_pipeline
from thalweg.sdk.catalog import Catalog
from thalweg.testing.arranging import Arranged, arrange
from thalweg.testing.expectations import assertions_of
from thalweg.testing.manifest import Case, Manifest, load_manifest, manifest_json_schema

ROOT = Path(__file__).resolve().parents[3]
WEATHER = ROOT / "examples/weather"
COUNT = {"port": "wet.out", "count": 1}


def load(tmp_path: Path, content: Any) -> Manifest:
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return load_manifest(tmp_path / "m.yaml")


def faults(tmp_path: Path, content: Any) -> list[str]:
    with pytest.raises(RejectedError) as caught:
        load(tmp_path, content)
    assert caught.value.code == "manifest.invalid"
    return [line.removeprefix(f"{tmp_path}/m.yaml: ") for line in str(caught.value).split("\n")]


def test_the_example_is_valid_by_its_model_and_by_its_schema() -> None:
    content = yaml.safe_load((WEATHER / "weather.test.yaml").read_text())
    assert len(load_manifest(WEATHER / "weather.test.yaml").cases) == len(content["cases"])
    schema = manifest_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(content)
    content["cases"][0]["expect"][0]["cuont"] = 3
    assert not jsonschema.Draft202012Validator(schema).is_valid(content)


@pytest.mark.parametrize(
    ("expect", "fault"),
    [
        ({"port": "wet.out", "evry": "x"}, "cases.0.expect.0: unknown key 'evry'; did you mean every?"),
        ({"port": "wet", "count": 1}, "cases.0.expect.0.port: 'wet' is not of the form 'vertex.name', as in 'wet.out'"),
        ({"count": 1}, "cases.0.expect.0: must be a mapping with exactly one of port, vertex, file, replay, fails"),
        ({"port": "a.b", "file": "a.b"}, "cases.0.expect.0: must be a mapping with exactly one of port, vertex, file, replay, fails"),
        ({"port": "wet.out", "count": {"min": 3, "max": 2}}, "cases.0.expect.0.count: min 3 is more than max 2"),
        ({"port": "wet.out", "count": {"min": -1}}, "cases.0.expect.0.count.min: must be at least 0, not -1"),
        ({"port": "wet.out", "digest": "78df"}, "cases.0.expect.0.digest: '78df' is not valid: it must be 12 to 64 hex digits"),
        ({"port": "wet.out", "at": {"index": -1, "where": "x"}}, "cases.0.expect.0.at.index: must be at least 0, not -1"),
        ({"port": "wet.out", "count": 1, "tolerance": {}}, "cases.0.expect.0: tolerance has no effect without golden"),
        (
            {"port": "wet.out", "golden": "g", "tolerance": {"fields": {"a": -1}}},
            "cases.0.expect.0.tolerance.fields.a.absolute: must be at least 0.0, not -1",
        ),
        ({"vertex": "wet"}, "expects nothing: give one of records_in, records_out, filtered, dead, late, dropped, errors"),
        ({"fails": {"vertx": "wet"}}, "cases.0.expect.0.fails: unknown key 'vertx'; did you mean vertex?"),
    ],
)
def test_a_faulty_expectation_is_told_with_its_path(expect: Any, fault: str, tmp_path: Path) -> None:
    found = faults(tmp_path, {"pipeline": "p.yaml", "cases": [{"name": "a", "expect": [expect]}]})
    assert len(found) == 1 and fault in found[0]


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"timout": 3}, "cases.0: unknown key 'timout'; did you mean timeout?"),
        ({"timeout": "3 days"}, "cases.0.timeout: '3 days' is not a time, as in '500ms', '60s', '5m'"),
        ({"timeout": "2h"}, "cases.0.timeout: must be at most 3600.0, not '2h'"),
        ({"set": {"wet": 1}}, "cases.0.set.wet: 'wet' is not of the form 'vertex.param', as in 'wet.where'"),
        ({"files": {"rows": "x"}}, "cases.0.files.rows: 'rows' is not of the form 'vertex.name', as in 'wet.out'"),
        ({"replace": {"rows.out": {"time": "date"}}}, "cases.0.replace.rows.out.file: is required"),
        ({"expect": []}, "cases.0.expect: "),
        ({"expect": [COUNT, {"fails": {}}]}, "cases.0: a run that must fail stops at no certain place"),
    ],
)
def test_a_faulty_case_is_told_with_its_path(changed: dict[str, Any], fault: str, tmp_path: Path) -> None:
    found = faults(tmp_path, {"pipeline": "p.yaml", "cases": [{"name": "a", "expect": [COUNT], **changed}]})
    assert len(found) == 1 and found[0].startswith(fault)


def test_all_faults_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    case = {"name": "a", "expect": [COUNT]}
    assert faults(tmp_path, {"pipeline": "p", "backend": "b", "cases": [case]}) == ["file: give either pipeline or backend"]
    assert faults(tmp_path, {"pipeline": "p", "revision": 1, "cases": [case]}) == ["file: revision has no effect without backend"]
    assert faults(tmp_path, {"pipeline": "p", "cases": [case, case]}) == ["file: two cases have the name 'a'"]
    assert len(faults(tmp_path, {"cases": [{"name": ""}, {"expect": [{}]}], "x": 1})) == 5


def test_a_manifest_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    for text, message in (("", "is empty"), ("a: [", "is not YAML"), ("a: 1\na: 2", "'a' is given twice")):
        (tmp_path / "m.yaml").write_text(text)
        with pytest.raises(RejectedError, match=message) as caught:
            load_manifest(tmp_path / "m.yaml")
        assert caught.value.code == "manifest.unreadable"


def test_times_counts_and_bounds_have_short_forms(tmp_path: Path) -> None:
    tolerance = {"fields": {"mean": 0.1}}
    expect = [{"port": "wet.out", "count": 3}, {"port": "wet.out", "golden": "g.jsonl", "tolerance": tolerance}]
    case = {"name": "a", "timeout": "500ms", "replace": {"rows.out": "r.csv"}, "expect": expect}
    (found,) = load(tmp_path, {"pipeline": "p.yaml", "cases": [case]}).cases
    assert found.timeout == 0.5
    assert found.replace["rows.out"].file == "r.csv"
    count, golden = found.expect
    assert (count.count.min, count.count.max) == (3, 3)  # type: ignore[union-attr]
    assert golden.tolerance.tolerance().fields["mean"].absolute == 0.1  # type: ignore[union-attr]


PIPELINE = Pipeline.model_validate(
    {
        "backend": "b",
        "vertices": {
            "rows": {"component": "csv-source@1.0.0", "files": {"table": "a.csv"}},
            "wet": {"component": "filter@1.0.0", "digest": f"sha256:{'0' * 64}", "params": {"where": "x > 0"}},
            "cold": {"component": "filter@1.0.0", "params": {"where": "y > 0"}},
            "save": {"component": "jsonl-file@1.0.0"},
        },
        "edges": ["rows.out -> wet.in", "rows.out -> cold.in", "wet.out -> save.in"],
        "expect": [{"vertex": "wet", "count": {"min": 1}}],
        "aliases": {"a": "wet.latest"},
    }
)


def arranged(tmp_path: Path, use: dict[str, str] | None = None, types: dict[str, str] | None = None, **case: Any) -> Arranged:
    case = {"name": "a", "expect": [{"port": "save.out", "count": 1}], **case}
    return arrange(PIPELINE, Case.model_validate(case), use or {}, tmp_path, types or {})


def test_params_files_and_releases_are_put_into_a_copy_of_the_pipeline(tmp_path: Path) -> None:
    before = PIPELINE.model_dump_json()
    files = {"rows.table": "b.csv", "rows.other": f"sha256:{'1' * 64}"}
    found = arranged(tmp_path, {"filter": "filter@2.0.0"}, set={"wet.where": "x > 1", "wet.deep.er": 1}, files=files)
    assert not found.misfits
    vertices = found.content["vertices"]
    assert vertices["wet"]["params"] == {"where": "x > 1", "deep": {"er": 1}}
    assert vertices["rows"]["files"] == {"table": str(tmp_path / "b.csv"), "other": f"sha256:{'1' * 64}"}
    assert [vertices[name]["component"] for name in ("wet", "cold", "save")] == ["filter@2.0.0", "filter@2.0.0", "jsonl-file@1.0.0"]
    assert "digest" not in vertices["wet"]
    assert "expect" not in found.content and "aliases" not in found.content
    assert PIPELINE.model_dump_json() == before


def test_a_release_that_is_tried_need_not_have_the_pinned_digest(tmp_path: Path) -> None:
    case = Case.model_validate({"name": "a", "expect": [COUNT]})
    for tried, is_pinned in ([], True), (["filter@1.0.0"], False), (["filter@1.0.1"], True):
        found = arrange(PIPELINE, case, {}, tmp_path, {}, tried).content["vertices"]["wet"]
        assert (found.get("digest") is not None) == is_pinned


def test_a_replaced_port_is_fed_by_a_source_of_its_vertex_name(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").touch()
    found = arranged(tmp_path, types={"wet.out": "record{x: float}"}, replace={"wet.out": {"file": "r.jsonl", "time": "at"}})
    assert not found.misfits
    assert found.content["vertices"]["wet"] == {
        "component": "jsonl-source@1.0.0",
        "files": {"lines": str(tmp_path / "r.jsonl")},
        "params": {"time": "at", "record": "record{x: float}"},
    }
    assert found.content["edges"] == ["rows.out -> cold.in", "wet.out -> save.in"]


def test_what_feeds_a_replaced_port_alone_does_not_run_unless_it_is_watched(tmp_path: Path) -> None:
    (tmp_path / "r.csv").touch()
    both = {"wet.out": "r.csv", "cold.out": "r.csv"}
    assert "rows" not in arranged(tmp_path, replace=both).content["vertices"]
    assert "rows" in arranged(tmp_path, replace={"wet.out": "r.csv"}).content["vertices"]
    assert "rows" in arranged(tmp_path, replace=both, expect=[{"port": "rows.out", "count": 1}]).content["vertices"]
    assert "rows" in arranged(tmp_path, replace=both, expect=[{"vertex": "rows", "dead": 0}]).content["vertices"]


@pytest.mark.parametrize(
    ("case", "key", "message"),
    [
        ({"set": {"wat.where": 1}}, "set.wat.where", "there is no vertex 'wat'"),
        ({"set": {"wet.where.x": 1}}, "set.wet.where.x", "where is no mapping, so nothing in it can be set"),
        ({"files": {"row.table": "x"}}, "files.row.table", "there is no vertex 'row'"),
        ({"replace": {"wat.out": "r.csv"}}, "replace.wat.out", "there is no vertex 'wat'"),
        ({"replace": {"wet.out": "gone.csv"}}, "replace.wet.out", "gone.csv is not there"),
        (
            {"replace": {"wet.out": "r.txt"}},
            "replace.wet.out",
            "r.txt: records are read from .csv, .jsonl, .parquet, .mcap, .fixture.jsonl files",
        ),
        ({"replace": {"rows.err": "r.csv"}}, "replace", "rows does not run, so rows.out needs a fixture, too: it feeds wet"),
    ],
)
def test_what_does_not_fit_the_pipeline_is_named(case: dict[str, Any], key: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "r.csv").touch()
    found = arranged(tmp_path, **case)
    assert (found.misfits[0].key, found.misfits[0].message) == (key, message)


def test_a_release_that_nothing_uses_cannot_be_exchanged(tmp_path: Path) -> None:
    (one,) = arranged(tmp_path, {"filtr": "filter@2.0.0"}).misfits
    assert (one.key, one.message, one.hint) == ("use.filtr", "no vertex uses component 'filtr'", "did you mean filter?")


@pytest.mark.parametrize(
    ("expect", "key", "message"),
    [
        ({"port": "wat.out", "count": 1}, "expect.0.port", "there is no vertex 'wat'"),
        ({"port": "wet.in", "count": 1}, "expect.0.port", "wet has no output port 'in'"),
        (
            {"port": "wet.out", "every": "precipitatio > 0.0"},
            "expect.0.every",
            "unknown field 'precipitatio' (did you mean 'precipitation'?)",
        ),
        ({"port": "wet.out", "first": "weather"}, "expect.0.first", "'weather' is str, not bool"),
        ({"port": "wet.out", "at": {"index": 1, "where": "wind +"}}, "expect.0.at", "at character 7 of 'wind +'"),
        ({"port": "wet.out", "golden": "gone.jsonl"}, "expect.0.golden", "gone.jsonl is not there"),
        ({"port": "wet.out", "golden": "data/seattle-weather.csv"}, "expect.0.golden", "are kept in .jsonl files"),
        ({"vertex": "wat", "dead": 0}, "expect.0.vertex", "there is no vertex 'wat'"),
        ({"file": "save.table", "rows": 1}, "expect.0.file", "save leaves no file in slot 'table'"),
        ({"file": "save.file", "golden": "gone.parquet"}, "expect.0.golden", "gone.parquet is not there"),
        ({"fails": {"vertex": "wat"}}, "expect.0.fails.vertex", "there is no vertex 'wat'"),
    ],
)
def test_what_cannot_be_expected_of_a_plan_is_named(expect: Any, key: str, message: str) -> None:
    case = Case.model_validate({"name": "a", "expect": [expect]})
    plan = check_pipeline(Pipeline.model_validate(yaml.safe_load((WEATHER / "pipeline.yaml").read_text())), Catalog(), WEATHER)
    assertions, misfits = assertions_of(case.expect, plan, WEATHER, update=False)
    assert not assertions
    assert [one.key for one in misfits] == [key]
    assert message in misfits[0].message


def test_each_condition_of_an_expectation_is_an_assertion_of_its_own() -> None:
    expect = {"port": "wet.out", "count": 623, "every": "precipitation > 0.0", "golden": "golden/monthly.jsonl"}
    case = Case.model_validate({"name": "a", "expect": [expect, {"vertex": "rows", "dead": 0, "records_out": {"min": 1}}]})
    plan = check_pipeline(Pipeline.model_validate(yaml.safe_load((WEATHER / "pipeline.yaml").read_text())), Catalog(), WEATHER)
    assertions, misfits = assertions_of(case.expect, plan, WEATHER, update=False)
    assert not misfits
    assert [one.key for one in assertions] == [
        "expect.0.count", "expect.0.every", "expect.0.golden", "expect.1.records_out", "expect.1.dead",
    ]  # fmt: skip
    assert [one.port for one in assertions if one.check is not None] == [("wet", "out")] * 2
