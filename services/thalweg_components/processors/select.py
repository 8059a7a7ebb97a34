"""select: keeps, renames and works out fields; all others are dropped."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from thalweg import Context, component
from thalweg.graph.types import Record, StreamType
from thalweg_components.expressions import CompiledExpression, compile_expression
from thalweg_components.processors.map import check_names

In = TypeVar("In")
Out = TypeVar("Out")


class Params(BaseModel):
    """What to keep. In pipeline files a list of fields stands for keeping them under their names."""

    model_config = ConfigDict(extra="forbid")

    fields: dict[str, str] = Field(min_length=1, description="field -> CEL expression; or a list of fields to keep")

    @field_validator("fields", mode="before")
    @classmethod
    def _from_list(cls, value: object) -> object:
        return {str(name).replace(".", "_"): name for name in value} if isinstance(value, list) else value


@component("select", version="1.0.0")
class Select:
    """Keeps, renames and works out fields; all others are dropped.

    **Ports**: `in` takes records, or a value that expressions call `value`. `out` emits a record with exactly the fields of
    `fields`, in that order.

    **Params**: `fields`: a list of fields to keep (`[date, wind]`; a dotted one gets `_`), or field: CEL expression
    (`{day: date, wind_kmh: wind * 3.6}`).

    **Nulls**: as in SQL, an expression over a null field is null (`x * 2` of a `float?` is a `float?`). One that mentions null
    (`x == null ? 0.0 : x`) deals with it itself, and is no `T?`. Numbers inside json count as float in arithmetic.

    **Faults**: unknown fields and mismatched types are rejected before it runs. A record for which an expression has no
    value (a division by zero, a missing key of a json value) is a faulty record.
    """

    params: Params

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The fields asked for."""
        check_names(list(params.fields))
        return {"out": Record(tuple((name, one.type) for name, one in _compile(params, inputs["in"]).items()))}

    def setup(self, context: Context) -> None:
        """Compiles the expressions."""
        self._fields = list(_compile(self.params, context.input_type("in")).values())
        self._class = context.record_class("out")

    def process(self, record: In, context: Context) -> Out:  # type: ignore[type-var]  # what Out is, resolve_types says
        """The record of the fields."""
        return self._class(*[field.evaluate(record) for field in self._fields])  # type: ignore[no-any-return]


def _compile(params: Params, source: StreamType) -> dict[str, CompiledExpression]:
    return {name: compile_expression(text, source, what=f"fields.{name}") for name, text in params.fields.items()}
