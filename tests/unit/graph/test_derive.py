"""Types from annotations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict, TypeVar, Union

import msgspec
import pytest
from pydantic import BaseModel

from thalweg import Image
from thalweg.errors import RejectedError
from thalweg.graph.derive import stream_type
from thalweg.graph.types import ImageType, format_type

T = TypeVar("T")


@dataclass
class Point:
    x: int
    y: float | None = None


class Row(TypedDict):
    day: datetime
    note: NotRequired[str]


class Model(BaseModel):
    at: Point
    tags: list[str] = []


class Packed(msgspec.Struct):
    took: timedelta
    image: Image


class Odd:
    pass


@dataclass
class Holder:
    good: int
    inner: dict[str, list[Odd]]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (bool, "bool"),
        (bytes, "bytes"),
        (Any, "json"),
        (datetime, "timestamp"),
        (timedelta, "duration"),
        (list[int], "list[int]"),
        (dict[str, float], "map[float]"),
        (tuple[int, str], "tuple[int, str]"),
        (tuple[int, ...], "list[int]"),
        (Optional[int], "int?"),  # noqa: UP045 - the old spelling is the case
        (Union[int, str, None], "(int | str)?"),  # noqa: UP007
        (int | str, "int | str"),
        (Literal["a", "b"], "str"),
        (T, "T"),
        (list[T], "list[T]"),  # type: ignore[valid-type]
        (Image, "image"),
        (Annotated[Image, ImageType("jpeg")], "image<jpeg>"),
        (Annotated[int, "a note"], "int"),
        (Point, "record{x: int, y: float?}"),
        (Row, "record{day: timestamp, note: str?}"),
        (Model, "record{at: record{x: int, y: float?}, tags: list[str]}"),
        (Packed, "record{took: duration, image: image}"),
    ],
)
def test_an_annotation_has_a_stream_type(annotation: Any, expected: str) -> None:
    assert format_type(stream_type(annotation)) == expected


@pytest.mark.parametrize(
    ("annotation", "path"),
    [(Odd, "annotation"), (Holder, "inner{}[]"), (dict[int, str], "annotation"), (list[Odd], "[]"), (set[int], "annotation")],
)
def test_what_no_type_describes_is_named_by_its_path(annotation: Any, path: str) -> None:
    with pytest.raises(RejectedError) as caught:
        stream_type(annotation)
    assert caught.value.code == "type.unsupported"
    assert str(caught.value).startswith(f"{path}: ")
