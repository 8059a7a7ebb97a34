"""ocr-text: turns images into the text that they show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field

from thalweg import Context, Image, component
from thalweg.errors import RejectedError
from thalweg.graph.derive import stream_type
from thalweg.graph.types import STR, ImageType, StreamType, format_type
from thalweg.sdk.records import python_type
from thalweg_components.one_field import ChangeType, OneField, changed_type
from thalweg_components.text_reader import Line, ReaderParams, TextReader, joined

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass
class Reading:
    """What an image says: all of its text, and each line of it."""

    text: str
    boxes: list[Line]


class Params(ReaderParams):
    """What is turned."""

    field: str | None = Field(None, max_length=64, description="of a record, that holds the image; without it, the whole is one")
    to: Literal["str"] | None = Field(None, description="`str` for the text alone; without it, a record with the lines too")


@component("ocr-text", version="1.0.0", converter=True)
class OcrText:
    """Turns images into the text that they show.

    **Ports**: `in` takes images, or records with one in `field`. `out` emits in its place
    `record{text: str, boxes: list[record{text, score, x, y, w, h, corners}]}`, which is what `ocr` adds to a record, or the text alone.

    **Params**: `field`, `to` (`str`: the text alone); `min_score`, `size`, `upside_down`, `threads` as of `ocr`.

    **Models**, determinism and faults: as of `ocr`.
    """

    params: Params

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The input's type with text for the image."""
        return {"out": changed_type(inputs["in"], params.field, _change(STR if params.to else stream_type(Reading)))}

    def setup(self, context: Context) -> None:
        """Loads the models."""
        self._reader = TextReader(self.params)
        self._reading = python_type(stream_type(Reading))  # inside a record, values have to be what the record's class holds
        self._field = OneField(self.params.field, context, self._read)

    def process(self, record: In) -> Out:  # type: ignore[type-var]  # what Out is, resolve_types says
        """The record with its text."""
        return self._field.apply(record)  # type: ignore[no-any-return]

    def _read(self, image: Image) -> Any:
        lines = self._reader.lines(image.to_array())
        return joined(lines) if self.params.to else self._reading(joined(lines), lines)


def _change(gives: StreamType) -> ChangeType:
    def change(kind: StreamType) -> StreamType:
        if not isinstance(kind, ImageType):
            raise RejectedError(f"{format_type(kind)} is no image", code="type.unsupported")
        return gives

    return change
