"""The acceptance rule: what an edge takes, and the first place where it does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from thalweg.graph.accept import bind, find_conflict, substitute
from thalweg.graph.parse import parse_type
from thalweg.graph.types import INT, JSON, StreamType, format_type

ACCEPTED = [
    ("int", "int"),
    ("int", "float"),
    ("int", "int?"),
    ("int", "float?"),
    ("int?", "float?"),
    ("record{a: int, b: str}", "record{a: int}"),
    ("record{b: str, a: int}", "record{a: int, b: str}"),
    ("record{}", "record{a: int?}"),
    ("record{a: record{b: int, c: int}}", "record{a: record{b: float}}"),
    ("list[int]", "list[float]"),
    ("map[int]", "map[int?]"),
    ("tuple[int, str]", "tuple[float, str]"),
    ("table{a: int, b: int}", "table{a: int}"),
    ("int", "int | str"),
    ("str | int", "int | str | bool"),
    ("str? | int", "int | str?"),
    ("str?", "json | str?"),
    ("str?", "int? | str"),
    ("str?", "(int | str)?"),
    ("int | float", "float"),
    ("record{a: image}", "json"),
    ("image<jpeg>", "image"),
    ("image", "image<jpeg>"),
    ("audio<16000,?>", "audio<?,2>"),
    ("tensor<float32,3x?>", "tensor<?,3x4>"),
    ("T", "T"),
]
REFUSED = [
    ("float", "int", ""),
    ("str", "int", ""),
    ("int?", "int", ""),
    ("json", "int", ""),
    ("record{a: int}", "record{a: int, b: str}", "b"),
    ("record{a: record{b: str}}", "record{a: record{b: int}}", "a.b"),
    ("record{a: list[str]}", "record{a: list[int]}", "a[]"),
    ("record{a: map[str]}", "record{a: map[int]}", "a{}"),
    ("tuple[int, str]", "tuple[int, int]", "[1]"),
    ("tuple[int]", "tuple[int, int]", ""),
    ("record{a: int}", "table{a: int}", ""),
    ("int | str", "int", ""),
    ("int", "str | bool", ""),
    ("str?", "str | bool", ""),
    ("str?", "int? | bool", ""),
    ("image<png>", "image<jpeg>", ""),
    ("image", "str", ""),
    ("audio<16000,1>", "audio<8000,?>", ""),
    ("tensor<float32,3x4>", "tensor<float32,3>", ""),
    ("tensor<float32,3x4>", "tensor<uint8,3x4>", ""),
]


@pytest.mark.parametrize(("source", "target"), ACCEPTED)
def test_it_is_accepted(source: str, target: str) -> None:
    assert find_conflict(parse_type(source), parse_type(target)) is None


@pytest.mark.parametrize(("source", "target", "path"), REFUSED)
def test_it_is_refused_at_the_first_conflict(source: str, target: str, path: str) -> None:
    conflict = find_conflict(parse_type(source), parse_type(target))
    assert conflict is not None
    assert conflict.path == path
    assert conflict.reason


@given(some.sampled_from([parse_type(text) for pair in ACCEPTED for text in pair]))
def test_every_type_accepts_itself_and_json_accepts_every_type(stream_type: StreamType) -> None:
    assert find_conflict(stream_type, stream_type) is None
    assert find_conflict(stream_type, JSON) is None


def test_a_missing_field_has_no_source_type() -> None:
    conflict = find_conflict(parse_type("record{}"), parse_type("record{a: int}"))
    assert conflict is not None
    assert (conflict.source, conflict.target, conflict.reason) == (None, INT, "field a is missing")


def test_a_variable_takes_the_type_that_it_meets_first() -> None:
    bindings: dict[str, StreamType] = {}
    assert find_conflict(parse_type("list[record{a: int}]"), parse_type("list[T]"), bindings) is None
    assert format_type(substitute(parse_type("map[T?]"), bindings)) == "map[record{a: int}?]"


def test_a_variable_must_accept_the_same_type_afterwards() -> None:
    bindings: dict[str, StreamType] = {}
    assert find_conflict(parse_type("tuple[int, int]"), parse_type("tuple[T, T]"), bindings) is None
    conflict = find_conflict(parse_type("tuple[int, str]"), parse_type("tuple[T, T]"))
    assert conflict is not None
    assert conflict.path == "[1]"


@pytest.mark.parametrize("swapped", [False, True])
def test_of_several_types_into_one_variable_the_one_that_takes_the_others_is_bound(swapped: bool) -> None:
    pairs = [(parse_type(text), parse_type("T")) for text in ("record{a: int, b: int}", "record{a: int}", "record{a: int, c: str}")]
    bindings: dict[str, StreamType] = {}
    bind(pairs[::-1] if swapped else pairs, bindings)
    assert {name: format_type(kind) for name, kind in bindings.items()} == {"T": "record{a: int}"}


def test_types_that_nothing_takes_bind_no_variable() -> None:
    bindings: dict[str, StreamType] = {}
    bind([(parse_type(text), parse_type("T")) for text in ("int", "str")], bindings)
    assert bindings == {}


def test_unbound_variables_stay() -> None:
    assert format_type(substitute(parse_type("record{a: A, b: B | int, c: tuple[A]}"), {"A": INT})) == (
        "record{a: int, b: B | int, c: tuple[int]}"
    )
