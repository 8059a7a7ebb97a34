"""cast: turns fields into other types."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from thalweg import Context, component
from thalweg.graph.types import Record, StreamType
from thalweg_components.casting import Fractions, cast_to
from thalweg_components.type_params import MAX_TYPE, concrete_type

In = TypeVar("In")
Out = TypeVar("Out")


class Params(BaseModel):
    """What is wanted."""

    model_config = ConfigDict(extra="forbid")

    to: str = Field(max_length=MAX_TYPE, description="stream type that is wanted, as in `record{wind: float, day: timestamp}`")
    fractions: Fractions = Field("fail", description="of floats that become ints: a faulty record, the nearest int, or the next one down")

    @field_validator("to")
    @classmethod
    def _is_type(cls, text: str) -> str:
        concrete_type(text)
        return text


@component("cast", version="1.0.0", converter=True)
class CastValues:
    """Turns values into another type, field by field.

    **Ports**: `in` takes any type; `out` emits what `to` says. Fields of records that `to` does not name pass through as they are.

    **Params**: `to` (stream type), `fractions`: what becomes of 2.5 as an int: `fail` (a faulty record), `nearest` (halves to the even
    one), `down`.

    **What goes**: `str` into `bool`, `int`, `float`, `timestamp`, as csv-source reads cells; `bool`, `int`, `float`, `timestamp` (ISO
    8601 in UTC) and `duration` into `str`; `int` and `float`; 0, 1 and `bool`; `int` and `timestamp` (ns since 1970, whole
    microseconds); seconds and `duration`; lists, maps and nested records item by item.

    **Nulls**: `T?` into `T` takes what is not null; a null is a faulty record.

    **Faults**: types between which there is no way are rejected before it runs. A value that is not of the type, `"x"` as a
    float, is a faulty record that names the field.
    """

    params: Params

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The input's type with what `to` names in its place."""
        return {"out": cast_to(inputs["in"], concrete_type(params.to), params.fractions).type}

    def setup(self, context: Context) -> None:
        """Works out the way."""
        self._cast = cast_to(context.input_type("in"), concrete_type(self.params.to), self.params.fractions)
        self._class = context.record_class("out") if isinstance(self._cast.type, Record) else None

    def process(self, record: In) -> Out:  # type: ignore[type-var]  # what Out is, resolve_types says
        """The value as what is wanted."""
        found = self._cast.convert(record)
        return found if self._class is None else self._class(**found)  # type: ignore[no-any-return]
