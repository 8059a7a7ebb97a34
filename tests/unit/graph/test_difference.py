"""Differences of backends: short, with renames found, and readable."""

from __future__ import annotations

from typing import Any

from thalweg.graph.backend import Backend
from thalweg.graph.difference import compact, diff, render
from thalweg.graph.fields import MAX_JSON_BYTES
from thalweg.graph.operations import apply

ROWS = {"component": "csv-source@1.0.0", "files": {"table": "rows.csv"}}
WET = {"component": "filter@1.0.0", "params": {"where": "x > 1", "by": {"a": 1, "b": 2}}}


def graph(vertices: dict[str, Any], *edges: str, **others: Any) -> Backend:
    return Backend.model_validate({"backend": "b", "vertices": vertices, "edges": edges, **others})


def kinds(old: Backend, new: Backend) -> list[str]:
    steps = diff(old, new)
    assert apply(old, steps).digest() == new.digest()
    return [one.op for one in steps]


def with_params(params: dict[str, Any]) -> Backend:
    return graph({"wet": {**WET, "params": params}})


def test_a_vertex_under_another_name_is_a_rename_and_its_edges_follow() -> None:
    old = graph({"rows": ROWS, "wet": WET}, "rows.out -> wet.in", aliases={"rain": "wet.out"})
    new = graph({"rows": ROWS, "damp": WET}, "rows.out -> damp.in", aliases={"rain": "damp.out"})
    assert kinds(old, new) == ["rename_vertex"]


def test_a_rename_that_could_mean_two_vertices_is_none() -> None:
    assert kinds(graph({"a": WET, "b": WET}), graph({"c": WET})) == ["remove_vertex", "remove_vertex", "add_vertex"]


def test_edges_of_a_removed_vertex_are_not_disconnected_once_more() -> None:
    assert kinds(graph({"rows": ROWS, "wet": WET}, "rows.out -> wet.in"), graph({"rows": ROWS})) == ["remove_vertex"]


def test_a_param_is_changed_at_the_deepest_place_that_holds_the_difference() -> None:
    (step,) = diff(with_params({"by": {"a": {"x": 1, "y": 1}, "b": 2}}), with_params({"by": {"a": {"x": 2, "y": 2}, "b": 2}}))
    assert step.describe() == 'set params.by.a of wet to {"x":2,"y":2}'
    (step,) = diff(with_params({"by": {"a": 1}}), with_params({"by": {"a": 1.0}}))
    assert step.describe() == "set params.by.a of wet to 1.0"


def test_a_changed_order_within_a_param_is_a_difference() -> None:
    assert kinds(with_params({"by": {"a": 1, "b": 2}}), with_params({"by": {"b": 2, "a": 1}})) == ["set_param"]
    assert kinds(with_params({"by": {"a": 1, "b": 2}}), with_params({"by": {"b": 2, "a": 3}})) == ["set_param"]


def test_params_that_do_not_fit_side_by_side_are_taken_out_first() -> None:
    big = "x" * (MAX_JSON_BYTES - 100)
    assert (
        kinds(with_params({"a": big, "b": 1, "c": 1}), with_params({"a": 1, "b": big, "c": 1})) == ["unset_param"] * 2 + ["set_param"] * 2
    )


def test_a_graph_is_compacted_to_one_operation_a_part() -> None:
    assert [one.op for one in compact(graph({"rows": ROWS, "wet": WET}, "rows.out -> wet.in"))] == ["add_vertex", "add_vertex", "connect"]


def test_a_difference_is_told_line_by_line() -> None:
    old = graph({"rows": ROWS, "wet": WET, "save": {"component": "parquet-file"}}, "rows.out -> wet.in", "wet.out -> save.in")
    new = graph(
        {"lines": ROWS, "wet": {**WET, "key": "city", "params": {"where": "x > 2"}}, "count": {"component": "count@1.0.0"}},
        "lines.out -> wet.in",
        "wet.out -> count.in",
        expect=[{"vertex": "wet", "count": {"min": 1}}],
        aliases={"rain": "wet.out"},
    )
    assert render(old, new) == [
        "~ vertex rows: is now lines",
        "- vertex save parquet-file",
        "- edge wet.out -> save.in",
        "+ vertex count count@1.0.0",
        '~ vertex wet params.by: {"a":1,"b":2} -> (none)',
        '~ vertex wet params.where: "x > 1" -> "x > 2"',
        "~ set partitions of wet to 1 by city",
        "+ edge wet.out -> count.in",
        "+ expectation wet.out count min 1",
        "+ alias rain wet.out",
    ]
    assert render(new, new) == []
