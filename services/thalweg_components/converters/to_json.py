"""to-json: writes values as JSON text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, component
from thalweg.errors import RejectedError
from thalweg.graph.types import (
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
    format_type,
)
from thalweg_components.one_field import OneField, changed_type

In = TypeVar("In")
Out = TypeVar("Out")


class Params(BaseModel):
    """What is written."""

    model_config = ConfigDict(extra="forbid")

    field: str | None = Field(None, description="field that is turned into text; without it, the whole record is")


@component("to-json", version="1.0.0", converter=True)
class ToJson:
    """Writes values as JSON text.

    **Ports**: `in` takes any type without images, audio and tensors; `out` emits `str`, or the records with `str` in the field.

    **Params**: `field` (the field that is turned into text; by default the whole record is).

    **Values**: fields in their declared order, keys of maps sorted, no spaces. Timestamps are ISO 8601 in UTC, durations ISO 8601,
    bytes base64; NaN and the infinities, which JSON does not have, are null. The same value gives the same text.

    **Nulls**: a null field stays null; a null within is `null`. **Faults**: none of its own.
    """

    params: Params

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """Text in place of the value."""
        return {"out": changed_type(inputs["in"], params.field, _to_text)}

    def setup(self, context: Context) -> None:
        """Sees what is to be written."""
        encode = msgspec.json.Encoder().encode  # maps come with their keys in order
        self._place = OneField(self.params.field, context, lambda value: encode(value).decode())

    def process(self, record: In) -> Out:  # type: ignore[type-var]  # what Out is, resolve_types says
        """The text."""
        return self._place.apply(record)  # type: ignore[no-any-return]


def _to_text(kind: StreamType) -> StreamType:
    if _has_media(kind):
        raise RejectedError(f"{format_type(kind)} holds what is no JSON", code="type.unsupported", hint="leave images and audio out")
    return STR


def _has_media(kind: Any) -> bool:
    match kind:
        case ImageType() | AudioType() | TensorType():
            return True
        case ListOf(inner) | MapOf(inner) | OptionalOf(inner):
            return _has_media(inner)
        case UnionOf(several) | TupleOf(several):
            return any(map(_has_media, several))
        case Record(fields) | TableOf(fields):
            return any(_has_media(inner) for _, inner in fields)
    return False
