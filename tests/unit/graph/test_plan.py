"""Checking a pipeline against the standard library: every fault, all of them at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from thalweg import Image, component
from thalweg.errors import RejectedError
from thalweg.graph.pipeline import Pipeline, load_pipeline
from thalweg.graph.plan import Plan, check_pipeline
from thalweg.graph.types import format_type
from thalweg.sdk.catalog import Catalog
from thalweg.sdk.component import component_of
from thalweg.sdk.release import ComponentRelease
from thalweg.testing import run_graph

ROWS = {"component": "csv-source@1.0.0", "files": {"table": "rows.csv"}}
SAVE = {"component": "parquet-file@1.0.0"}


@dataclass
class Text:
    text: str


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "rows.csv").write_text("day,wind\n2024-01-01,1.5\n2024-01-02,2.5\n")
    return tmp_path


def check(base: Path, vertices: dict[str, Any], edges: list[str], **others: Any) -> Plan:
    return check_pipeline(Pipeline.model_validate({"backend": "b", "vertices": vertices, "edges": edges, **others}), Catalog(), base)


def only(plan: Plan) -> tuple[str, str, str, str | None]:
    (fault,) = plan.faults
    return fault.code, fault.where, fault.message, fault.hint


def test_a_sound_pipeline_becomes_a_plan_in_topological_order(base: Path) -> None:
    wet = {"component": "filter@1.0.0", "params": {"where": "wind > 2.0"}}
    plan = check(base, {"save": SAVE, "wet": wet, "rows": ROWS}, ["wet.out -> save.in", "rows.out -> wet.in"])
    assert not plan.faults
    assert [one.name for one in plan.vertices] == ["rows", "wet", "save"]
    assert plan.vertices[1].outputs == plan.vertices[0].outputs
    assert "wind: float" in format_type(plan.vertices[1].outputs["out"])
    assert plan.vertices[2].generated["file"].startswith("save-")


def test_an_unknown_component_is_told_with_close_names(base: Path) -> None:
    code, where, message, hint = only(check(base, {"rows": {"component": "csv-sauce@1.0.0"}}, []))
    assert (code, where) == ("component.unknown", "vertex rows")
    assert "csv-sauce" in message
    assert "csv-source" in str(hint)


def test_a_component_needs_a_pin(base: Path) -> None:
    code, _, _, hint = only(check(base, {"rows": {**ROWS, "component": "csv-source"}}, []))
    assert (code, hint) == ("component.unpinned", "pin it: csv-source@1.0.0")


def test_an_unknown_version_is_told_with_the_known_ones(base: Path) -> None:
    code, _, _, hint = only(check(base, {"rows": {**ROWS, "component": "csv-source@9.0.0"}}, []))
    assert (code, hint) == ("component.unknown_version", "it has 1.0.0")


@pytest.mark.parametrize(("edge", "side"), [("rows.lines -> save.in", "output"), ("rows.out -> save.rows", "input")])
def test_an_unknown_port_is_told_with_the_known_ones(base: Path, edge: str, side: str) -> None:
    plan = check(base, {"rows": ROWS, "save": SAVE}, [edge])
    told = next(one for one in plan.faults if one.code == "port.unknown")
    assert told.where == f"edge {edge}"
    assert f"no {side} port" in told.message


def test_an_unbound_slot_is_told_with_what_binds_it(base: Path) -> None:
    code, _, message, hint = only(check(base, {"rows": {"component": "csv-source@1.0.0"}}, []))
    assert (code, hint) == ("slot.unbound", "files: {table: PATH}")
    assert "'table'" in message


def test_a_file_that_is_not_there_and_an_unknown_slot_are_told(base: Path) -> None:
    plan = check(base, {"rows": {**ROWS, "files": {"table": "no.csv", "tabel": "rows.csv"}}}, [])
    assert [(one.code, one.where) for one in plan.faults] == [("file.missing", "vertex rows: files.table"), ("slot.unknown", "vertex rows")]
    assert "table" in str(plan.faults[1].hint)


def test_a_bad_param_is_told_with_its_path(base: Path) -> None:
    bad = {"component": "aggregate@1.0.0", "params": {"window": "month", "aggregates": {"wind": {"op": "guess", "field": "wind"}}}}
    plan = check(base, {"rows": ROWS, "monthly": bad}, ["rows.out -> monthly.in"])
    assert {one.code for one in plan.faults} == {"param.invalid"}
    assert any(one.where.startswith("vertex monthly: params.aggregates.wind") for one in plan.faults)


def test_a_cycle_is_named(base: Path) -> None:
    again = {"component": "filter@1.0.0", "params": {"where": "true"}}
    plan = check(base, {"a": again, "b": again}, ["a.out -> b.in", "b.out -> a.in"])
    told = [one for one in plan.faults if "cycle" in one.code]
    assert len(told) == 1
    text = str(told[0])
    assert "a" in text
    assert "b" in text


def test_a_required_input_that_is_not_connected_is_told(base: Path) -> None:
    code, where, message, _ = only(check(base, {"rows": ROWS, "save": SAVE}, []))
    assert (code, where) == ("input.unconnected", "vertex save")
    assert "'in'" in message


def test_a_type_conflict_names_the_edge_and_both_types(base: Path) -> None:
    plan = check(base, {"rows": ROWS, "moves": {"component": "motion@1.0.0"}}, ["rows.out -> moves.in"])
    code, where, message, _ = only(plan)
    assert (code, where) == ("graph.port_type_mismatch", "edge rows.out -> moves.in")
    first, second = message.split("\n")
    assert first == "field index is missing at index"
    assert second.startswith("  rows.out emits record{day: ")
    assert second.endswith("; moves.in accepts record{index: int, time: float, image: image}")


def test_an_expression_over_an_unknown_field_is_told_before_the_run(base: Path) -> None:
    wet = {"component": "filter@1.0.0", "params": {"where": "wnd > 2.0"}}
    code, where, message, hint = only(check(base, {"rows": ROWS, "wet": wet}, ["rows.out -> wet.in"]))
    assert where == "vertex wet"
    assert "wnd" in message
    assert "wind" in f"{message} {hint}"
    assert code


def test_unknown_vertices_in_edges_and_expectations_are_told(base: Path) -> None:
    plan = check(base, {"rows": ROWS}, ["rows.out -> sav.in"], expect=[{"vertex": "row", "count": {"min": 1}}])
    assert [(one.code, one.where) for one in plan.faults] == [("vertex.unknown", "edge rows.out -> sav.in"), ("vertex.unknown", "expect")]


def test_an_alias_stands_for_an_endpoint_that_there_is(base: Path) -> None:
    assert not check(base, {"rows": ROWS}, [], aliases={"all": "rows.out"}).faults
    told = only(check(base, {"rows": ROWS}, [], aliases={"all": "rows.rain"}))
    assert told[0] == "endpoint.unknown" and told[3] == "it has out"


def test_an_error_has_the_hint_of_a_single_fault_and_all_faults_as_facts(base: Path) -> None:
    plan = check(base, {"rows": {"component": "csv-source@1.0.0"}}, [])
    with pytest.raises(RejectedError) as refused:
        plan.raise_if_faulty()
    (told,) = refused.value.facts["faults"]
    assert refused.value.hint == told["hint"] is not None and "hint:" not in str(refused.value)
    assert str(refused.value) == f"{told['where']}: {told['message']}" and told["code"] == refused.value.code


def test_all_faults_are_told_at_once(base: Path) -> None:
    vertices = {
        "odd": {"component": "nothing-like-it@1.0.0"},
        "loose": {"component": "filter"},
        "rows": {"component": "csv-source@1.0.0"},
        "wet": {"component": "filter@1.0.0", "params": {"were": "true"}},
        "save": SAVE,
    }
    plan = check(base, vertices, ["rows.lines -> wet.in", "nobody.out -> wet.in"])
    assert {one.code for one in plan.faults} >= {
        "component.unknown",
        "component.unpinned",
        "slot.unbound",
        "param.invalid",
        "port.unknown",
        "vertex.unknown",
        "input.unconnected",
    }
    with pytest.raises(RejectedError) as caught:
        plan.raise_if_faulty()
    assert caught.value.facts["count"] == len(plan.faults)
    assert all(one.message in str(caught.value) for one in plan.faults)


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("backend: b\nbackend: c\nvertices: {}\n", "pipeline.unreadable", "'backend' is given twice"),
        ("backend: [", "pipeline.unreadable", "is not YAML"),
        (
            "backend: b\nvertices: {a: {component: x@1, prams: {}}}\n",
            "pipeline.invalid",
            "vertices.a: unknown key 'prams'; did you mean params?",
        ),
        ("backend: b\nvertices: {a: {component: x@1}}\nedges: [a.out > b.in]\n", "pipeline.invalid", "vertex.port -> vertex.port"),
        ("- 1\n", "pipeline.invalid", "file"),
    ],
)
def test_a_file_that_is_no_pipeline_is_refused(tmp_path: Path, text: str, code: str, told: str) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(text)
    with pytest.raises(RejectedError) as caught:
        load_pipeline(path)
    assert caught.value.code == code
    assert told in str(caught.value)


@pytest.mark.parametrize("swapped", [False, True])
def test_two_sources_into_one_generic_port_are_read_as_the_type_that_takes_both(base: Path, swapped: bool) -> None:
    (base / "narrow.jsonl").write_text('{"a": 1}\n')
    (base / "wide.jsonl").write_text('{"a": 2, "b": "x"}\n')
    vertices = {name: {"component": "jsonl-source@1.0.0", "files": {"lines": f"{name}.jsonl"}} for name in ("narrow", "wide")}
    edges = ["narrow.out -> big.in", "wide.out -> big.in"]
    plan = check(base, {**vertices, "big": {"component": "filter@1.0.0", "params": {"where": "a > 0"}}}, edges[::-1] if swapped else edges)
    assert not plan.faults
    assert {format_type(kind) for *_, kind in plan.vertices[-1].inputs} == {"record{a: int}"}
    assert [one.a for one in run_graph(plan.pipeline, base=base)["big"].out] == [1, 2]


def test_two_sources_without_a_common_type_are_refused_in_either_order(base: Path) -> None:
    (base / "n.jsonl").write_text('{"a": 1}\n')
    vertices = {"rows": ROWS, "n": {"component": "jsonl-source@1.0.0", "files": {"lines": "n.jsonl"}}}
    for edges in (["rows.out -> save.in", "n.out -> save.in"], ["n.out -> save.in", "rows.out -> save.in"]):
        assert only(check(base, {**vertices, "save": SAVE}, edges))[0] == "graph.port_type_mismatch"


def test_two_files_of_one_name_are_refused(base: Path) -> None:
    saves = {name: {**SAVE, "generated": {"file": "table.parquet"}} for name in ("one", "two")}
    told = only(check(base, {"rows": ROWS, **saves}, ["rows.out -> one.in", "rows.out -> two.in"]))
    assert told == (
        "name.twice",
        "vertex two: generated.file",
        "'table.parquet' is the name of one.file already",
        "give it another one: generated: {file: NAME}",
    )


@component("ocr-text", version="1.0.0", converter=True)
def ocr_text(image: Image) -> Text:
    """Reads what is written in an image."""
    return Text(str(image.width))


@component("reader", version="1.0.0")
def reader(text: Text) -> None:
    """Takes text."""


@component("camera", version="1.0.0")
def camera() -> Iterator[Image]:
    """Makes images."""
    yield from ()


class Few:
    """Releases of this module."""

    def __init__(self) -> None:
        releases = [ComponentRelease(component_of(one), __name__) for one in (ocr_text, reader, camera)]
        self.found = {f"{one.manifest.name}@1.0.0": one for one in releases}

    def names(self) -> list[str]:
        return sorted(self.found)

    def versions(self, name: str) -> list[str]:
        return ["1.0.0"] if f"{name}@1.0.0" in self.found else []

    def find(self, name: str, version: str) -> ComponentRelease | None:
        return self.found.get(f"{name}@{version}")


def test_a_refused_edge_names_a_converter_that_would_fit_in_between() -> None:
    vertices = {name: {"component": f"{name}@1.0.0"} for name in ("camera", "reader")}
    pipeline = Pipeline.model_validate({"backend": "b", "vertices": vertices, "edges": ["camera.out -> reader.in"]})
    code, where, message, hint = only(check_pipeline(pipeline, Few(), None))
    assert (code, where) == ("graph.port_type_mismatch", "edge camera.out -> reader.in")
    assert "camera.out emits image; reader.in accepts record{text: str}" in message
    assert hint == "ocr-text@1.0.0 turns image into record{text: str}"


@pytest.mark.parametrize(
    ("vertex", "share", "told"),
    [
        ("rows", {}, "a source has no input"),
        ("save", {}, "leave a file of the same name"),
        ("sum", {}, "must come to the same partition"),
        ("sum", {"key": "rain"}, "no field 'rain' that can be a key"),
        ("sum", {"key": "wind"}, "no field 'wind' that can be a key"),
        ("wet", {}, None),
        ("sum", {"key": "place"}, None),
    ],
)
def test_what_cannot_be_dealt_out_is_not_split(base: Path, vertex: str, share: dict[str, Any], told: str | None) -> None:
    (base / "rows.csv").write_text("place,wind\nA,1.5\nB,2.5\n")
    summed = {"key": ["place"], "window": {"kind": "none"}, "aggregates": {"count": {"op": "count"}}}
    vertices: dict[str, Any] = {
        "rows": ROWS,
        "wet": {"component": "filter@1.0.0", "params": {"where": "wind > 2.0"}},
        "sum": {"component": "aggregate@1.0.0", "params": summed},
        "save": SAVE,
    }
    vertices[vertex] = {**vertices[vertex], "partitions": 3, **share}
    plan = check(base, vertices, ["rows.out -> wet.in", "wet.out -> sum.in", "sum.out -> save.in"])
    if told is None:
        assert not plan.faults and next(one for one in plan.vertices if one.name == vertex).parts == [f"{vertex}~{n}" for n in (1, 2, 3)]
    else:
        assert told in only(plan)[2]
