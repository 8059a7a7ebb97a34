"""Values of authors' classes, in and out: what is accepted, and that equal values have equal bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NotRequired, TypedDict

import msgspec
import numpy as np
import pytest
from pydantic import BaseModel

from thalweg import Image, component
from thalweg.errors import RejectedError, RunFailedError
from thalweg.graph.derive import stream_type
from thalweg.graph.parse import parse_type
from thalweg.sdk.conform import conformer
from thalweg.sdk.records import python_type
from thalweg.sdk.values import RecordError
from thalweg.testing import run_component


class Inner(BaseModel):
    a: int


class Model(BaseModel):
    model_config = {"extra": "forbid", "arbitrary_types_allowed": True}
    x: float
    inner: Inner
    picture: Image
    note: str | None


@dataclass
class Gaps:
    note: str | None
    inner: list[Inner]
    x: float


class Typed(TypedDict):
    note: str | None
    extra: NotRequired[int]
    x: float


class Camel(msgspec.Struct, rename="camel", array_like=True):
    my_x: float
    note: str | None = None


IMAGE = Image("png", 1, 1, b"")
NAIVE = datetime(2020, 1, 1)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (
            Model,
            {"x": 1, "inner": {"a": 2, "b": 3}, "picture": IMAGE, "more": True},
            Model(x=1.0, inner=Inner(a=2), picture=IMAGE, note=None),
        ),
        (Gaps, {"x": 1.0, "inner": [{"a": 2}]}, Gaps(None, [Inner(a=2)], 1.0)),
        (Typed, {"x": 1.0}, {"note": None, "x": 1.0}),
        (Camel, {"my_x": 1.0}, Camel(1.0, None)),
        (list[Gaps], [{"x": 1.0, "inner": []}], [Gaps(None, [], 1.0)]),
        (dict[str, Inner], {"k": {"a": 1}}, {"k": Inner(a=1)}),
        (tuple[int, Inner | None], (1, {"a": 2}), (1, Inner(a=2))),
    ],
)
def test_a_component_is_handed_its_own_class_whatever_the_class_can_decode(kind: Any, given: Any, expected: Any) -> None:
    taken: list[Any] = []
    run_component(_taker(kind, taken.append), [given], in_type=_type_of(given))
    assert taken == [expected]
    assert type(taken[0]) is type(expected)


def _taker(kind: Any, take: Callable[[Any], Any]) -> Any:
    def taker(record: Any) -> None:
        take(record)

    taker.__annotations__["record"] = kind
    return component("taker", version="1.0.0")(taker)


def _type_of(value: Any) -> Any:
    texts = {Image: "image", bool: "bool", int: "int", float: "float"}

    def text(one: Any) -> str:
        if isinstance(one, dict):
            return "map[record{a: int}]" if "k" in one else "record{" + ", ".join(f"{k}: {text(v)}" for k, v in one.items()) + "}"
        if isinstance(one, tuple):
            return f"tuple[{', '.join(map(text, one))}]"
        if isinstance(one, list):
            return f"list[{text(one[0]) if one else 'record{a: int}'}]"
        return texts[type(one)]

    return parse_type(text(value))


def test_a_model_that_refuses_a_value_fails_the_vertex_with_its_reason() -> None:
    class Small(BaseModel):
        a: int

        def model_post_init(self, context: object) -> None:
            if self.a > 1:
                raise ValueError("too large")

    with pytest.raises(RunFailedError, match="too large"):
        run_component(_taker(Small, print), [{"a": 2}])


def encoded(kind: Any, value: Any) -> bytes:
    return msgspec.msgpack.encode(conformer(kind if not isinstance(kind, type) else stream_type(kind), "out")(value))


def test_an_optional_field_that_is_not_there_is_null_wherever_it_stands() -> None:
    kind = parse_type("record{note: str?, x: float}")
    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode({"x": 1.0}), type=python_type(kind))
    assert (decoded.note, decoded.x) == (None, 1.0)
    assert encoded(kind, {"x": 1}) == msgspec.msgpack.encode({"note": None, "x": 1.0})
    with pytest.raises(msgspec.ValidationError, match="missing required field `x`"):
        msgspec.msgpack.decode(msgspec.msgpack.encode({"note": "n"}), type=python_type(kind))
    with pytest.raises(RecordError, match="missing required field `x`"):
        encoded(kind, {"note": "n"})


def test_the_layout_of_an_authors_struct_does_not_show_on_the_wire() -> None:
    plain = msgspec.defstruct("Plain", [("my_x", float), ("note", str | None, None)])
    expected = encoded(plain, plain(1.0))
    for layout in ({"omit_defaults": True}, {"array_like": True}, {"tag": True}, {"rename": "camel"}):
        kind = msgspec.defstruct("Odd", [("my_x", float), ("note", str | None, None)], **layout)
        assert encoded(plain, kind(1.0)) == expected


@dataclass
class Scalars:
    f: float
    i: int
    b: bool
    s: str


@pytest.mark.parametrize("make", [Scalars, lambda *values: dict(zip("fibs", values, strict=True))])
def test_the_scalars_of_numpy_are_taken_as_pythons(make: Callable[..., Any]) -> None:
    given = make(np.float64(1.5), np.int64(2), np.bool_(True), np.str_("x"))
    assert encoded(Scalars, given) == encoded(Scalars, Scalars(1.5, 2, True, "x"))
    assert encoded(parse_type("list[float]"), list(np.array([1.0, 2.0]))) == encoded(parse_type("list[float]"), [1.0, 2.0])


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("timestamp", NAIVE, datetime(2020, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))),
        ("record{t: timestamp?}", {"t": NAIVE}, {"t": datetime(2020, 1, 1, tzinfo=UTC)}),
        ("list[timestamp]", [NAIVE], [datetime(2020, 1, 1, tzinfo=UTC)]),
        ("map[int]", {"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ("record{m: map[map[int]]}", {"m": {"x": {"a": 1, "b": 2}}}, {"m": {"x": {"b": 2, "a": 1}}}),
        ("json", {"a": [{"c": 1, "d": 2}], "b": 1}, {"b": 1, "a": [{"d": 2, "c": 1}]}),
        ("record{u: map[int] | int}", {"u": {"a": 1, "b": 2}}, {"u": {"b": 2, "a": 1}}),
        ("table{t: timestamp}", [{"t": NAIVE}], [{"t": datetime(2020, 1, 1, tzinfo=UTC)}]),
    ],
)
def test_equal_values_have_equal_bytes(kind: str, first: Any, second: Any) -> None:
    assert encoded(parse_type(kind), first) == encoded(parse_type(kind), second)


def test_an_own_record_with_a_time_without_zone_is_not_passed_as_it_stands() -> None:
    own = dataclasses.make_dataclass("Own", [("t", datetime)])
    assert encoded(own, own(NAIVE)) == encoded(own, own(datetime(2020, 1, 1, tzinfo=UTC)))


def test_a_union_of_two_records_is_refused_where_it_is_declared() -> None:
    with pytest.raises(RejectedError, match="cannot be told apart"):
        stream_type(Gaps | Scalars)
    with pytest.raises(RejectedError, match="'from' is no field name"):
        stream_type(TypedDict("Odd", {"from": int}))  # type: ignore[operator]
