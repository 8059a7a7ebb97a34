"""The components that route and reshape records: switch, merge, split-list, flatten, template."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from thalweg import RecordError, RejectedError
from thalweg.graph.parse import parse_type
from thalweg.graph.pipeline import Pipeline
from thalweg.graph.plan import check_pipeline
from thalweg.graph.types import format_type
from thalweg.sdk.catalog import Catalog
from thalweg.testing import run_component, run_graph
from thalweg_components.processors.switch import Switch

Drive = Callable[..., Any]
CASES = {"hot": "temp > 30.0", "cold": "temp < 0.0", "warm": "temp > 20.0"}
NUMBERS = {"component": "random-source@1.0.0", "params": {"seed": 1, "count": 40, "fields": {"n": {"kind": "int", "low": 0, "high": 9}}}}


def test_a_record_goes_to_the_first_case_that_is_true_and_else_elsewhere() -> None:
    records = [{"temp": temp} for temp in (31.0, -1.0, 25.0, 10.0, None)]
    found = run_component(Switch, records, params={"cases": CASES}, in_type=parse_type("record{temp: float?}"))
    given = {port: [one.temp for one in values] for port, values in found.outputs.items()}
    assert given == {"hot": [31.0], "cold": [-1.0], "warm": [25.0], "else": [10.0, None]}


def test_cases_are_ports_in_a_graph() -> None:
    vertices = {
        "numbers": NUMBERS,
        "parity": {"component": "switch@1.0.0", "params": {"cases": {"even": "n % 2 == 0", "three": "n == 3"}}},
        "all": {"component": "merge@1.0.0"},
    }
    edges = ["numbers.out -> parity.in", "parity.even -> all.in", "parity.three -> all.in", "parity.else -> all.in"]
    pipeline = Pipeline.model_validate({"backend": "b", "vertices": vertices, "edges": edges})
    results = run_graph(pipeline, base=Path())
    assert [one.n for one in results["all"].out] == [one.n for one in results["numbers"].out]
    assert {one.n for one in results["parity"].outputs["three"]} == {3}
    wrong = Pipeline.model_validate({"backend": "b", "vertices": vertices, "edges": ["numbers.out -> parity.in", "parity.odd -> all.in"]})
    (fault,) = check_pipeline(wrong, Catalog(), Path()).faults
    assert (fault.code, fault.hint) == ("port.unknown", "its outputs: else, even, three")


def test_faulty_cases_are_told_once() -> None:
    vertices = {"numbers": NUMBERS, "parity": {"component": "switch@1.0.0", "params": {"cases": {"a b": "n > 1"}}}}
    edges = ["numbers.out -> parity.in", "parity.x -> parity.in"]
    plan = check_pipeline(Pipeline.model_validate({"backend": "b", "vertices": vertices, "edges": edges}), Catalog(), Path())
    assert [one.code for one in plan.faults] == ["param.invalid"]


@pytest.mark.parametrize("cases", [{}, {"else": "true"}, {"a.b": "true"}, {f"p{n}": "true" for n in range(65)}])
def test_cases_that_cannot_be_ports_are_refused(drive: Drive, cases: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        drive("switch", types={"in": "int"}, params={"cases": cases})


def test_a_case_over_an_unknown_field_is_rejected(drive: Drive) -> None:
    with pytest.raises(RejectedError, match=r"cases\.hot: unknown field 'tmp'"):
        drive("switch", types={"in": "record{temp: float}"}, params={"cases": {"hot": "tmp > 30.0"}})


def test_streams_are_merged_by_time_in_the_type_that_takes_both() -> None:
    fields = {"n": {"kind": "int", "low": 0, "high": 9}}
    vertices = {
        "ints": {"component": "random-source@1.0.0", "params": {"seed": 1, "count": 3, "fields": fields, "every_s": 2}},
        "floats": {"component": "timer-source@1.0.0", "params": {"every_s": 3, "count": 2}},
        "shaped": {"component": "select@1.0.0", "params": {"fields": {"n": "double(index) + 0.5"}}},
        "all": {"component": "merge@1.0.0"},
    }
    edges = ["ints.out -> all.in", "floats.out -> shaped.in", "shaped.out -> all.in"]
    results = run_graph(Pipeline.model_validate({"backend": "b", "vertices": vertices, "edges": edges}), base=Path())
    assert [time // 10**9 for time in results["all"].times["out"]] == [0, 0, 2, 3, 4]
    assert all(type(one.n) is float for one in results["all"].out)


def test_each_item_of_a_list_becomes_a_record(drive: Drive) -> None:
    kind = "record{id: int, tags: list[str?]?}"
    records = [{"id": 1, "tags": ["a", None]}, {"id": 2, "tags": []}, {"id": 3, "tags": None}]
    found = drive("split-list", records, types={"in": kind}, params={"field": "tags", "into": "tag", "index": "at"})
    assert format_type(found.types["out"]) == "record{id: int, tag: str?, at: int}"
    assert found.rows() == [(1, "a", 0), (1, None, 1)]
    assert drive("split-list", [[1, 2], []], types={"in": "list[int]"}).out == [1, 2]
    many = drive("split-list", [list(range(100_000))], types={"in": "list[int]"})
    assert len(many.out) == 100_000


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        ("record{a: int}", {"field": "a"}, "a is int, no list"),
        ("record{a: list[int]}", {"field": "b"}, "no field 'b'"),
        ("record{a: list[int], b: int}", {"field": "a", "index": "b"}, "would be there twice"),
        ("record{a: list[int]}", {"field": "a", "into": "class"}, "no valid field name"),
        ("int", {}, "the input is int, no list"),
    ],
)
def test_what_is_no_list_is_rejected(drive: Drive, kind: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(RejectedError, match=message):
        drive("split-list", types={"in": kind}, params=params)


def test_nested_records_are_flattened_with_their_nulls(drive: Drive) -> None:
    kind = "record{id: int, pos: record{x: float, in_: record{y: int?}}?, l: list[record{a: int}]}"
    records = [{"id": 1, "pos": {"x": 2.0, "in_": {"y": 3}}, "l": []}, {"id": 2, "pos": None, "l": [{"a": 1}]}]
    found = drive("flatten", records, types={"in": kind})
    assert format_type(found.types["out"]) == "record{id: int, pos_x: float?, pos_in__y: int?, l: list[record{a: int}]}"
    assert [(one.id, one.pos_x, one.pos_in__y) for one in found.out] == [(1, 2.0, 3), (2, None, None)]
    shallow = drive("flatten", types={"in": kind}, params={"depth": 1, "separator": ""})
    assert format_type(shallow.types["out"]) == "record{id: int, posx: float?, posin_: record{y: int?}?, l: list[record{a: int}]}"
    with pytest.raises(RejectedError, match="'a_b' would be there twice"):
        drive("flatten", types={"in": "record{a_b: int, a: record{b: int}}"})
    with pytest.raises(RejectedError, match="int is no record"):
        drive("flatten", types={"in": "int"})


def test_text_is_written_from_expressions(drive: Drive) -> None:
    kind = "record{name: str, temp: float?, at: timestamp, tags: map[int]}"
    record = {"name": 'a "b"', "temp": 21.26, "at": dt.datetime(2024, 1, 2, tzinfo=dt.UTC), "tags": {"x": 1}}
    text = '{{{name}}} is {temp:.1f}{temp > 20.0 ? "!" : "}"} at {at}, {tags} {size(name):,}'
    found = drive("template", [record, record | {"temp": None}], types={"in": kind}, params={"text": text, "null": "?"})
    assert found.out == ['{a "b"} is 21.3! at 2024-01-02T00:00:00Z, {"x":1} 5', '{a "b"} is ?? at 2024-01-02T00:00:00Z, {"x":1} 5']
    into = drive("template", [record], types={"in": kind}, params={"text": "{name}", "into": "title"})
    assert (format_type(into.types["out"]), into.out[0].title) == (f"{kind[:-1]}, title: str}}", 'a "b"')
    assert drive("template", [math.nan, 2.0], types={"in": "float"}, params={"text": "{value}|{value:,.2f}"}).out == ["nan|nan", "2.0|2.00"]
    assert drive("template", [1], types={"in": "int"}, params={"text": ""}).out == [""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{name", "'{' at character 1 has no partner"),
        ("a } b", "'}' at character 3 has no partner"),
        ("{nme}", "unknown field 'nme'"),
        ("{name:.2f}", "formats str as a number"),
        ("{}", "the expression is empty"),
    ],
)
def test_a_text_that_cannot_be_written_is_rejected(drive: Drive, text: str, message: str) -> None:
    with pytest.raises(RejectedError, match=message):
        drive("template", types={"in": "record{name: str}"}, params={"text": text})


def test_an_expression_without_a_value_is_a_faulty_record(drive: Drive) -> None:
    with pytest.raises(RecordError, match="has no value"):
        drive("template", [0], types={"in": "int"}, params={"text": "{1 / value}"})
