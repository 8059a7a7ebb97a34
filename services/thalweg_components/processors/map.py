"""map: adds fields that are worked out from others, or replaces them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, component
from thalweg.errors import RejectedError
from thalweg.graph.types import Record, StreamType, format_type
from thalweg_components.expressions import CompiledExpression, compile_expression

In = TypeVar("In")
Out = TypeVar("Out")


class Params(BaseModel):
    """What to work out."""

    model_config = ConfigDict(extra="forbid")

    fields: dict[str, str] = Field(min_length=1, description="field -> CEL expression over the record as it arrives")


@component("map", version="1.0.0")
class Map:
    """Adds fields that are worked out from others, or replaces them; all other fields pass through.

    **Ports**: `in` takes records. `out` emits the record with each field of `fields` set to the value of its expression; a
    new one comes last.

    **Params**: `fields` (field: CEL expression). All expressions see the record as it arrived.

    **Nulls**: as in SQL, an expression over a null field is null (`x * 2` of a `float?` is a `float?`). One that mentions null
    (`x == null ? 0.0 : x`) deals with it itself, and is no `T?`. Numbers inside json count as float in arithmetic.

    **Faults**: unknown fields and mismatched types are rejected before it runs. A record for which an expression has no
    value (a division by zero, a missing key of a json value) is a faulty record.
    """

    params: Params

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The input's fields, with those of the expressions."""
        source = inputs["in"]
        if not isinstance(source, Record):
            raise RejectedError(f"{format_type(source)} is no record", code="type.unsupported", hint="map works on records")
        check_names(list(params.fields))
        return {"out": Record(tuple((dict(source.fields) | {n: e.type for n, e in _compile(params, source).items()}).items()))}

    def setup(self, context: Context) -> None:
        """Compiles the expressions."""
        source = context.input_type("in")
        compiled = _compile(self.params, source)
        names = [name for name, _ in source.fields] if isinstance(source, Record) else []
        whole = compiled | {name: compile_expression(name, source) for name in names if name not in compiled}
        self._class = context.record_class("out")
        self._fields = [whole[name] for name in self._class.__struct_fields__]

    def process(self, record: In, context: Context) -> Out:  # type: ignore[type-var]  # what Out is, resolve_types says
        """The record with its new fields."""
        values: list[Any] = [field.evaluate(record) for field in self._fields]
        return self._class(*values)  # type: ignore[no-any-return]


def check_names(names: list[str]) -> None:
    """Raises RejectedError unless all are letters, digits and `_`, not starting with a digit."""
    bad = next((name for name in names if not name.isidentifier()), None)
    if bad is not None:
        raise RejectedError(f"fields: {bad!r} is no valid field name", code="params.invalid", hint="use letters, digits and _")


def _compile(params: Params, source: StreamType) -> dict[str, CompiledExpression]:
    return {name: compile_expression(text, source, what=f"fields.{name}") for name, text in params.fields.items()}
