"""Types as text: `parse_type` reads back what `format_type` writes, and says where it cannot."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as some

from thalweg.errors import RejectedError
from thalweg.graph.field_names import field_name, is_field_name
from thalweg.graph.parse import parse_type
from thalweg.graph.types import (
    FLOAT,
    INT,
    SCALARS,
    STR,
    AudioType,
    ImageType,
    ListOf,
    MapOf,
    OptionalOf,
    Record,
    StreamType,
    TableOf,
    TensorType,
    TupleOf,
    UnionOf,
    Variable,
    format_type,
)
from thalweg.graph.unions import check_union

_WORDS = {*SCALARS, "list", "map", "tuple", "record", "table", "image", "audio", "tensor"}
_NAMES = some.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(is_field_name)
_SIZES = some.none() | some.integers(0, 4096)
_LEAVES: some.SearchStrategy[StreamType] = some.one_of(
    some.sampled_from(list(SCALARS.values())),
    some.builds(Variable, some.from_regex(r"[A-Z][A-Za-z0-9]{0,5}", fullmatch=True).filter(lambda name: name not in _WORDS)),
    some.builds(ImageType, some.sampled_from([None, "jpeg", "png", "bgr8"])),
    some.builds(AudioType, _SIZES, _SIZES),
    some.builds(TensorType, some.sampled_from([None, "float32"]), some.none() | some.lists(_SIZES, max_size=3).map(tuple)),
)


def _fields(inner: some.SearchStrategy[StreamType]) -> some.SearchStrategy[tuple[tuple[str, StreamType], ...]]:
    return some.dictionaries(_NAMES, inner, max_size=3).map(lambda found: tuple(found.items()))


def _or_its_first(union: UnionOf) -> StreamType:
    """The union, where its options can be told apart."""
    try:
        check_union(union.options, "here")
    except RejectedError:
        return union.options[0]
    return union


def _nested(inner: some.SearchStrategy[StreamType]) -> some.SearchStrategy[StreamType]:
    return some.one_of(
        some.builds(ListOf, inner),
        some.builds(MapOf, inner),
        some.builds(OptionalOf, inner),
        some.builds(UnionOf, some.lists(inner, min_size=2, max_size=3).map(tuple)).map(_or_its_first),
        some.builds(TupleOf, some.lists(inner, max_size=3).map(tuple)),
        some.builds(Record, _fields(inner)),
        some.builds(TableOf, _fields(inner)),
    )


@given(some.recursive(_LEAVES, _nested, max_leaves=8))
def test_what_is_written_reads_back_as_the_same_type(stream_type: StreamType) -> None:
    assert parse_type(format_type(stream_type)) == stream_type


@given(some.text(alphabet="abTintlis[]{}<>(),:?|* 0x", max_size=40))
def test_any_text_is_a_type_or_a_told_fault(text: str) -> None:
    with suppress(RejectedError):  # anything else is a fault of the parser
        format_type(parse_type(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("record{a: int, b: float?}", Record((("a", INT), ("b", OptionalOf(FLOAT))))),
        ("(int | str)?", OptionalOf(UnionOf((INT, STR)))),
        ("int | str?", UnionOf((INT, OptionalOf(STR)))),
        ("tensor<?,3x?>", TensorType(None, (3, None))),
        ("tensor<float32,*>", TensorType("float32", None)),
        ("  list [ T ]  ", ListOf(Variable("T"))),
    ],
)
def test_the_spelling_is_as_documented(text: str, expected: StreamType) -> None:
    assert parse_type(text) == expected


@pytest.mark.parametrize(
    ("text", "at"),
    [("list[int", 8), ("record{a int}", 9), ("int str", 4), ("", 0), ("a$", 1), ("image<jpeg", 10), ("audio<a,b>", 10), ("[int]", 0)],
)
def test_a_fault_tells_its_position(text: str, at: int) -> None:
    with pytest.raises(RejectedError, match=rf" at {at}$") as caught:
        parse_type(text)
    assert caught.value.code == "type.syntax"


def test_deep_nesting_is_refused_and_not_followed() -> None:
    with pytest.raises(RejectedError, match="nested too deeply"):
        parse_type("list[" * 40 + "int" + "]" * 40)


def test_a_very_long_text_is_refused() -> None:
    with pytest.raises(RejectedError, match="too long"):
        parse_type("a" * 70_000)


def test_the_name_of_a_record_is_for_people_only() -> None:
    assert Record((("a", INT),), "Left") == Record((("a", INT),), "Right")


@pytest.mark.parametrize("text", ["record{from: int}", "record{a: int, __class__: int}", "table{class: str}"])
def test_a_field_is_named_so_that_python_and_cel_can_spell_it(text: str) -> None:
    with pytest.raises(RejectedError, match="is no field name") as caught:
        parse_type(text)
    assert caught.value.code == "type.field_name"


@pytest.mark.parametrize(
    ("text", "name"),
    [("wind speed (m/s)", "wind_speed_m_s"), ("größe", "gr_e"), ("from", "from_"), ("_id", "_id"), ("2024", "_2024"), ("", "column")],
)
def test_sources_make_a_field_name_of_any_text(text: str, name: str) -> None:
    assert field_name(text) == name
    assert field_name(name) == name
    assert is_field_name(name)


@pytest.mark.parametrize(
    "text",
    [
        "str | timestamp",
        "str | bytes",
        "list[int] | list[str]",
        "record{a: int} | record{b: int}",
        "(str? | int) | duration",
        "map[int] | image",
    ],
)
def test_a_union_whose_options_look_alike_on_the_wire_is_refused(text: str) -> None:
    with pytest.raises(RejectedError, match="cannot be told apart") as caught:
        parse_type(text)
    assert caught.value.code == "type.union"
