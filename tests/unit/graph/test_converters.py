"""Which converter a refused edge suggests."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydantic import BaseModel

from thalweg import RejectedError, component
from thalweg.graph import converters
from thalweg.graph.accept import find_conflict
from thalweg.graph.converters import Converters
from thalweg.graph.parse import parse_type
from thalweg.graph.pipeline import Pipeline
from thalweg.graph.plan import check_pipeline
from thalweg.sdk.catalog import Catalog
from thalweg.sdk.component import component_of
from thalweg.sdk.release import ComponentRelease

T = TypeVar("T")
U = TypeVar("U")


class To(BaseModel):
    to: str


@component("a-broken", version="1.0.0", converter=True)
class Broken:
    """Raises where it is asked."""

    @classmethod
    def resolve_types(cls, params: Any, inputs: Any, files: Any) -> Any:
        raise KeyError("its own fault")

    def process(self, record: T) -> U:  # type: ignore[type-var]
        raise NotImplementedError


@component("length", version="1.0.0", converter=True)
def length(text: str) -> int:
    """How long a text is."""
    return len(text)


@component("length", version="2.0.0", converter=True)
def length_in_bytes(text: str) -> int:
    """How long a text is."""
    return len(text.encode())


@component("a-count", version="1.0.0")
def count(text: str) -> int:
    """What is no converter, though its types would fit."""
    return 1


class Few:
    """Some releases, and whether they are yanked."""

    def __init__(self, *targets: Any, yanked: tuple[str, ...] = ()) -> None:
        found = [ComponentRelease(component_of(one), __name__) for one in targets]
        self.found = {f"{one.manifest.name}@{one.manifest.version}": one for one in found}
        self.asked = 0
        for full in yanked:
            self.found[full].yanked = "wrong"

    def names(self) -> list[str]:
        self.asked += 1
        return sorted(self.found)

    def versions(self, name: str) -> list[str]:
        return sorted(full.partition("@")[2] for full in self.found if full.partition("@")[0] == name)

    def find(self, name: str, version: str) -> ComponentRelease | None:
        return self.found.get(f"{name}@{version}")


def hint(source: str, target: str, known: Converters) -> str | None:
    emitted, accepted = parse_type(source), parse_type(target)
    conflict = find_conflict(emitted, accepted)
    assert conflict is not None
    return known.hint(emitted, accepted, conflict)


@pytest.fixture(scope="module")
def library() -> Converters:
    return Converters(Catalog())


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("str", "bytes", "text-to-bytes@1.0.0 turns str into bytes"),
        ("bytes", "str", "bytes-to-text@1.0.0 turns bytes into str"),
        ("record{a: int}", "str", "to-json@1.0.0 turns record{a: int} into str"),
        ("str", "float", 'cast@1.0.0 with params {to: "float"} turns str into float'),
        ("str?", "str", 'cast@1.0.0 with params {to: "str"} turns str? into str'),
        ("str", "record{a: int}", 'from-json@1.0.0 with params {to: "record{a: int}"} turns str into record{a: int}'),
        ("json", "record{a: int}", 'from-json@1.0.0 with params {to: "record{a: int}"} turns json into record{a: int}'),
        ("table{a: int, b: str}", "record{a: int}", "table-to-records@1.0.0 turns table{a: int, b: str} into record{a: int, b: str}"),
        ("record{a: int}", "table{a: float}", "records-to-table@1.0.0 turns record{a: int} into table{a: int}"),
        ("image<png>", "image<jpeg>", 'image-format@1.0.0 with params {to: "image<jpeg>"} turns image<png> into image<jpeg>'),
        (
            "record{image: image<png>}",
            "record{image: image<jpeg>}",
            'image-format@1.0.0 with params {to: "image<jpeg>"} turns record{image: image<png>} into record{image: image<jpeg>}',
        ),
        (
            "record{n: int, body: bytes}",
            "record{body: str}",
            'bytes-to-text@1.0.0 with params {field: "body"} turns record{n: int, body: bytes} into record{n: int, body: str}',
        ),
        ("image", "str", 'ocr-text@1.0.0 with params {to: "str"} turns image into str'),
        ("image", "int", None),
        ("record{a: int}", "record{b: int}", None),
        ("str", "list[T]", None),
    ],
)
def test_the_library_has_a_converter_for_it(library: Converters, source: str, target: str, expected: str | None) -> None:
    assert hint(source, target, library) == expected


def test_only_the_newest_release_that_is_a_converter_and_not_yanked_is_suggested() -> None:
    assert hint("str", "int", Converters(Few(count))) is None
    known = (count, Broken, length, length_in_bytes)
    assert hint("str", "int", Converters(Few(*known))) == "length@2.0.0 turns str into int"
    assert hint("str", "int", Converters(Few(*known, yanked=("length@2.0.0",)))) == "length@1.0.0 turns str into int"


def test_releases_are_looked_through_once_for_a_graph_and_only_when_an_edge_is_refused() -> None:
    few = Few(length)
    known = Converters(few)
    assert few.asked == 0
    for target in ("int", "bool", "list[int]"):
        hint("str", target, known)
    assert few.asked == 1


def _many() -> list[Any]:
    asked: list[str] = []

    def one(name: str) -> Any:
        class Refuses:
            """Takes nothing."""

            params: To

            @classmethod
            def resolve_types(cls, params: To, inputs: dict[str, Any], files: dict[str, Path]) -> dict[str, Any]:
                asked.append(name)
                raise RejectedError("no", code="type.unsupported")

            def process(self, record: T) -> U:  # type: ignore[type-var]
                raise NotImplementedError

        return component(name, version="1.0.0", converter=True)(Refuses)

    return [asked, *(one(f"c{number:03}") for number in range(200))]


def test_no_more_than_some_are_asked() -> None:
    asked, *many = _many()
    known = Converters(Few(*many))
    for _ in range(20):
        assert hint("str", "int", known) is None
    assert len(asked) == converters.MAX_ASKED
    assert asked[:200].count("c127") == 1 and "c128" not in asked


def test_a_long_type_is_cut_in_the_hint(library: Converters) -> None:
    wide = "record{" + ", ".join(f"field{number}: int" for number in range(100)) + "}"
    found = hint(wide, "str", library)
    assert found is not None and len(found) < 400 and "… into str" in found


def test_a_component_that_takes_any_type_and_then_refuses_it_has_one_suggested_too() -> None:
    vertices = {
        "ticks": {"component": "timer-source@1.0.0", "params": {"every_s": 1, "count": 1}},
        "tables": {"component": "records-to-table@1.0.0"},
        "shaped": {"component": "map@1.0.0", "params": {"fields": {"twice": "index * 2"}}},
        "text": {"component": "bytes-to-text@1.0.0"},
    }
    edges = ["ticks.out -> tables.in", "tables.out -> shaped.in", "tables.out -> text.in"]
    plan = check_pipeline(Pipeline.model_validate({"backend": "b", "vertices": vertices, "edges": edges}), Catalog(), Path())
    rows = "table{index: int, time: timestamp} into record{index: int, time: timestamp}"
    assert [(one.where, one.code, one.hint) for one in plan.faults] == [
        ("vertex shaped", "type.unsupported", f"table-to-records@1.0.0 turns {rows}"),
        ("vertex text", "type.unsupported", None),
    ]


def test_flags_that_a_component_cannot_keep_are_refused() -> None:
    def two(a: str, b: str) -> str:
        return a + b

    with pytest.raises(RejectedError, match="a converter has one input and one output"):
        component("two", version="1.0.0", converter=True)(two)
    with pytest.raises(RejectedError, match="no param 'cases' to name ports"):
        component("two", version="1.0.0", ports_param="cases")(two)
