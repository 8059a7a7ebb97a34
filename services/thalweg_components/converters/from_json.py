"""from-json: reads values of a declared type out of JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field, field_validator

from thalweg import Context, RecordError, component
from thalweg.graph.types import BYTES, JSON, STR, StreamType
from thalweg_components.one_field import OneField, changed_type, one_of
from thalweg_components.type_params import MAX_TYPE, concrete_type

In = TypeVar("In")
Out = TypeVar("Out")
MAX_SHOWN = 200


class Params(BaseModel):
    """What it is."""

    model_config = ConfigDict(extra="forbid")

    to: str = Field(max_length=MAX_TYPE, description="stream type of the value, as in `record{id: int, tags: list[str]?}`")
    field: str | None = Field(None, description="field that holds the JSON; without it, the record is the JSON")

    @field_validator("to")
    @classmethod
    def _is_type(cls, text: str) -> str:
        concrete_type(text)
        return text


@component("from-json", version="1.0.0", converter=True)
class FromJson:
    """Reads values of a declared type out of JSON.

    **Ports**: `in` takes `str` or `bytes` that hold JSON, or `json` values, or records with a field that is such; `out` emits the
    values, or the records with the value in the field.

    **Params**: `to` (stream type of the value), `field` (of records).

    **Values**: keys that `to` does not name are left out, missing ones are null where their type is `T?`. Timestamps and durations
    are ISO 8601, bytes base64; an int goes into a float.

    **Nulls**: a null field stays null. **Faults**: text that is no JSON, and a value that is not of the type, is a faulty record that
    names the place.
    """

    params: Params

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The declared type in place of the JSON."""
        return {"out": changed_type(inputs["in"], params.field, one_of(STR, BYTES, JSON, gives=concrete_type(params.to)))}

    def setup(self, context: Context) -> None:
        """Makes the decoder."""
        kind = context.record_class("out")
        self._kind = (
            next((one.type for one in msgspec.structs.fields(kind) if one.name == self.params.field), kind) if self.params.field else kind
        )
        self._decode = msgspec.json.Decoder(self._kind).decode
        source: Any = context.input_type("in")
        held = source if self.params.field is None else dict(source.fields)[self.params.field]
        is_value = getattr(held, "item", held) == JSON
        self._place = OneField(self.params.field, context, self._converted if is_value else self._decoded)

    def process(self, record: In) -> Out:  # type: ignore[type-var]  # what Out is, resolve_types says
        """The value."""
        return self._place.apply(record)  # type: ignore[no-any-return]

    def _decoded(self, text: str | bytes) -> Any:
        try:
            return self._decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RecordError(f"not the JSON that is expected: {str(error)[:MAX_SHOWN]}") from None

    def _converted(self, value: Any) -> Any:
        try:
            return msgspec.convert(value, self._kind)
        except msgspec.ValidationError as error:
            raise RecordError(f"not the JSON that is expected: {str(error)[:MAX_SHOWN]}") from None
