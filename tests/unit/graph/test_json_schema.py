"""JSON Schemas of stream types: valid themselves, and met by the values of the type alone."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from thalweg.graph.json_schema import json_schema
from thalweg.graph.parse import parse_type

IMAGE = {"format": "jpeg", "width": 4, "height": 2, "data": "AAAA"}
CASES: list[tuple[str, list[Any], list[Any]]] = [
    ("bool", [True], [1, None]),
    ("int", [-(2**63), 2**64 - 1], [2**64, 1.5, "1"]),
    ("float", [1, 1.5], ["1.5"]),
    ("str?", ["", None], [1]),
    ("bytes", ["AAAA"], [1]),
    ("timestamp", ["2026-01-01T00:00:00Z"], [0]),
    ("duration", ["PT3S"], [3]),
    ("json", [None, 1, {"a": [1]}], []),
    ("list[int]", [[], [1, 2]], [["1"], 1]),
    ("map[float]", [{"a": 1.0}], [{"a": "1"}]),
    ("tuple[int, str]", [[1, "a"]], [[1], [1, "a", 2], ["a", 1]]),
    ("int | str", [1, "a"], [1.5]),
    ("record{a: int, b: str?}", [{"a": 1}, {"a": 1, "b": None}, {"a": 1, "c": 2}], [{}, {"a": "1"}, {"a": 1, "b": 2}]),
    ("table{a: int}", [[{"a": 1}]], [[{}], {"a": 1}]),
    ("image<jpeg>", [IMAGE], [{**IMAGE, "format": "png"}, {"format": "jpeg"}]),
    ("image", [IMAGE], [{**IMAGE, "width": 0}]),
    ("audio<16000,1>", [{"format": "pcm16", "rate": 16000, "channels": 1, "data": ""}], [{"format": "pcm16", "rate": 8000}]),
    ("tensor<float32,2x?>", [{"dtype": "float32", "shape": [2, 9], "data": ""}], [{"dtype": "float32", "shape": [3, 9], "data": ""}]),
    ("T", [1, None], []),
]


@pytest.mark.parametrize(("kind", "good", "bad"), CASES, ids=[one[0] for one in CASES])
def test_the_schema_of_a_type_lets_its_values_pass_and_no_others(kind: str, good: list[Any], bad: list[Any]) -> None:
    schema = json_schema(parse_type(kind))
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    for value in good:
        validator.validate(value)
    assert not [value for value in bad if validator.is_valid(value)]
