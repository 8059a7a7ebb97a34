"""Which artifacts fit a file slot, and how authors declare one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypedDict

import pytest

from thalweg import InputFile, component
from thalweg.errors import RejectedError
from thalweg.graph.files import accepts_type, check_binding
from thalweg.graph.manifest import FileSlot
from thalweg.sdk.component import component_of
from thalweg.sdk.release import ComponentRelease

SLOT = FileSlot(type="csv", columns={"date": "timestamp", "wind": "float", "note": "str?"})


@pytest.mark.parametrize(
    ("slot", "artifact", "fits"),
    [
        ("csv", "csv", True),
        ("bytes", "video", True),
        ("text", "jsonl", True),
        ("directory", "model-repository", True),
        ("csv", "text", False),
        ("bytes", "directory", False),
        ("directory", "archive", False),
        ("own-type", "own-type", True),
    ],
)
def test_a_slot_takes_its_type_and_narrower_ones(slot: str, artifact: str, fits: bool) -> None:
    assert accepts_type(slot, artifact) is fits


@pytest.mark.parametrize(
    ("columns", "codes"),
    [
        ({"date": "timestamp", "wind": "int", "more": "str"}, []),
        ({"date": "timestamp", "wind": "float", "note": "str"}, []),
        ({"wind": "float"}, ["slot.column_missing"]),
        ({"date": "str", "wind": "float?"}, ["slot.column_type", "slot.column_type"]),
        ({"date": "unsupported", "wind": "float"}, ["slot.column_type"]),
    ],
)
def test_columns_that_are_missing_or_of_another_type_are_named(columns: dict[str, str], codes: list[str]) -> None:
    assert [fault.code for fault in check_binding(SLOT, "csv", {"columns": columns})] == codes


def test_an_artifact_of_another_type_is_named() -> None:
    (fault,) = check_binding(SLOT, "video", {})
    assert (fault.code, fault.message) == ("slot.wrong_type", "the slot takes csv, not video")


def test_columns_that_are_not_known_are_left_to_the_run() -> None:
    assert check_binding(FileSlot(type="text", columns={"a": "int"}), "text", {}) == []


@dataclass
class Row:
    date: datetime
    wind: float | None


class Typed(TypedDict):
    date: datetime
    wind: float | None


def slot_of(annotation: Any) -> FileSlot:
    def source(table: InputFile) -> Iterator[str]:
        yield ""

    source.__annotations__ = {"table": annotation, "return": Iterator[str]}
    return ComponentRelease(component_of(component("x", version="1.0.0")(source)), "x").manifest.file_schema["table"]


@pytest.mark.parametrize("columns", [{"date": "timestamp", "wind": "float?"}, Row, Typed])
def test_authors_declare_columns_as_a_dict_or_a_class(columns: Any) -> None:
    expected = FileSlot(type="csv", columns={"date": "timestamp", "wind": "float?"})
    assert slot_of(Annotated[InputFile, "csv", columns]) == expected
    assert slot_of(Annotated[InputFile | None, "csv", columns]) == expected.model_copy(update={"required": False})


@pytest.mark.parametrize("columns", [{"date": "list["}, int])
def test_columns_that_are_none_are_refused_at_once(columns: Any) -> None:
    with pytest.raises(RejectedError):
        slot_of(Annotated[InputFile, "csv", columns])
