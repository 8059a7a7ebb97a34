"""Operations one by one: what each does, and what it refuses with which code."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from thalweg.errors import RejectedError
from thalweg.graph.backend import Backend
from thalweg.graph.difference import invert
from thalweg.graph.fields import MAX_JSON_BYTES
from thalweg.graph.operations import Operation, apply
from thalweg.graph.pipeline import MAX_VERTICES

READ: TypeAdapter[Operation] = TypeAdapter(Operation)
START = Backend.model_validate(
    {
        "backend": "b",
        "vertices": {
            "rows": {"component": "csv-source@1.0.0", "files": {"table": "rows.csv"}},
            "wet": {"component": "filter@1.0.0", "params": {"where": "x > 1", "by": {"a": 1}}},
        },
        "edges": ["rows.out -> wet.in"],
        "expect": [{"vertex": "wet", "count": {"min": 1}}],
        "aliases": {"rain": "wet.out", "all": "rows.out"},
    }
)


def after(*operations: dict[str, Any]) -> dict[str, Any]:
    return apply(START, map(READ.validate_python, operations)).document()


def wet_params(*operations: dict[str, Any]) -> Any:
    return after(*({"vertex": "wet"} | one for one in operations))["vertices"]["wet"].get("params")


def test_a_removed_vertex_takes_what_names_it_along_and_its_inverse_brings_all_back() -> None:
    remove = {"op": "remove_vertex", "name": "wet"}
    left = after(remove)
    assert (left["aliases"], "edges" in left, "expect" in left) == ({"all": "rows.out"}, False, False)
    back = invert(START, [READ.validate_python(remove)])
    assert [one.op for one in back] == ["add_vertex", "connect", "add_expectation", "set_alias"]


def test_what_names_a_renamed_vertex_follows() -> None:
    found = after({"op": "rename_vertex", "name": "wet", "new_name": "damp"})
    assert found["edges"] == ["rows.out -> damp.in"]
    assert found["expect"] == [{"vertex": "damp", "count": {"min": 1}}]
    assert found["aliases"] == {"all": "rows.out", "rain": "damp.out"}


def test_params_are_set_and_unset_by_dotted_path() -> None:
    assert wet_params({"op": "set_param", "path": "by.a", "value": 2})["by"] == {"a": 2}
    assert wet_params({"op": "set_param", "path": "new.deep", "value": None})["new"] == {"deep": None}
    assert wet_params({"op": "set_param", "path": ["by", "x.y"], "value": []})["by"] == {"a": 1, "x.y": []}
    assert wet_params({"op": "unset_param", "path": "by.a"})["by"] == {}
    assert wet_params({"op": "unset_param", "path": "by"}) == {"where": "x > 1"}


def test_a_pin_may_be_changed_and_taken_away() -> None:
    pin = {"op": "pin_release", "vertex": "wet", "component": "filter@1.1.0", "digest": "sha256:" + "0" * 64}
    assert after(pin)["vertices"]["wet"]["digest"] == pin["digest"]
    assert after(pin, {"op": "pin_release", "vertex": "wet", "component": "filter"})["vertices"]["wet"]["component"] == "filter"


@pytest.mark.parametrize(
    ("code", "operation"),
    [
        ("operation.vertex_exists", {"op": "add_vertex", "name": "wet", "vertex": {"component": "x"}}),
        ("operation.vertex_unknown", {"op": "remove_vertex", "name": "dry"}),
        ("operation.vertex_unknown", {"op": "rename_vertex", "name": "dry", "new_name": "arid"}),
        ("operation.vertex_exists", {"op": "rename_vertex", "name": "wet", "new_name": "rows"}),
        ("operation.vertex_exists", {"op": "rename_vertex", "name": "wet", "new_name": "wet"}),
        ("operation.edge_exists", {"op": "connect", "edge": "rows.out -> wet.in"}),
        ("operation.vertex_unknown", {"op": "connect", "edge": "dry.out -> wet.in"}),
        ("operation.edge_unknown", {"op": "disconnect", "edge": "rows.out -> wet.other"}),
        ("operation.expectation_exists", {"op": "add_expectation", "expectation": {"vertex": "wet", "count": {"min": 1}}}),
        ("operation.vertex_unknown", {"op": "add_expectation", "expectation": {"vertex": "dry", "count": {"min": 1}}}),
        ("operation.expectation_unknown", {"op": "remove_expectation", "expectation": {"vertex": "wet", "count": {"min": 2}}}),
        ("operation.vertex_unknown", {"op": "set_alias", "alias": "rain", "target": "dry.out"}),
        ("operation.alias_unknown", {"op": "remove_alias", "alias": "snow"}),
        ("operation.vertex_unknown", {"op": "set_param", "vertex": "dry", "path": "a", "value": 1}),
        ("operation.param_not_map", {"op": "set_param", "vertex": "wet", "path": "where.deep", "value": 1}),
        ("operation.param_unknown", {"op": "unset_param", "vertex": "wet", "path": "by.b"}),
        ("operation.param_unknown", {"op": "unset_param", "vertex": "wet", "path": "where.deep"}),
        ("operation.slot_unbound", {"op": "unbind_file", "vertex": "rows", "slot": "other"}),
        ("operation.slot_unbound", {"op": "unbind_secret", "vertex": "rows", "slot": "token"}),
        ("operation.slot_unbound", {"op": "set_generated", "vertex": "rows", "slot": "file", "file_name": None}),
        ("operation.vertex_unknown", {"op": "set_on_error", "vertex": "dry", "on_error": "retry"}),
    ],
)
def test_an_operation_that_does_not_fit_is_refused_with_its_code(code: str, operation: dict[str, Any]) -> None:
    with pytest.raises(RejectedError) as caught:
        after(operation)
    assert caught.value.code == code
    assert caught.value.facts


def test_a_backend_does_not_outgrow_its_bounds() -> None:
    full = START.replace(vertices=START.vertices | {f"v{number}": START.vertices["wet"] for number in range(MAX_VERTICES - 2)})
    with pytest.raises(RejectedError) as caught:
        apply(full, [READ.validate_python({"op": "add_vertex", "name": "more", "vertex": {"component": "x"}})])
    assert caught.value.code == "backend.invalid"
    half = "x" * (MAX_JSON_BYTES // 2)
    with pytest.raises(RejectedError) as caught:
        wet_params({"op": "set_param", "path": "a", "value": half}, {"op": "set_param", "path": "b", "value": half})
    assert caught.value.code == "operation.invalid"


@pytest.mark.parametrize(
    "bad",
    [
        {"op": "drop_everything"},
        {"op": "remove_vertex"},
        {"op": "remove_vertex", "name": "wet", "force": True},
        {"op": "set_param", "vertex": "wet", "path": "", "value": 1},
        {"op": "set_param", "vertex": "wet", "path": "a..b", "value": 1},
        {"op": "set_param", "vertex": "wet", "path": [], "value": 1},
        {"op": "set_param", "vertex": "wet", "path": "a"},
        {"op": "set_param", "vertex": "wet", "path": "a", "value": float("inf")},
        {"op": "bind_file", "vertex": "wet", "slot": "a", "file": "x\n"},
        {"op": "set_partitions", "vertex": "wet", "partitions": 0},
    ],
)
def test_a_malformed_operation_is_not_read(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        READ.validate_python(bad)


def test_a_description_is_one_line_and_not_long() -> None:
    told = READ.validate_python({"op": "set_param", "vertex": "wet", "path": "a", "value": "x\n" * 1000}).describe()
    assert told.startswith("set params.a of wet to ") and told.isprintable() and len(told) < 200
