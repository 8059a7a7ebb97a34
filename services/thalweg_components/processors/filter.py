"""filter: lets the records through for which an expression is true."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, RecordError, component
from thalweg.graph.types import BOOL, StreamType
from thalweg_components.expressions import compile_expression

T = TypeVar("T")


class Params(BaseModel):
    """What to keep."""

    model_config = ConfigDict(extra="forbid")

    where: str = Field(description="CEL expression that is true for the records to keep, e.g. precipitation > 0")


@component("filter", version="1.0.0")
class Filter:
    """Lets the records through for which `where` is true, unchanged.

    **Ports**: `in` takes any type; `out` emits the same type.

    **Params**: `where`, a CEL expression over the fields of the record (`precipitation > 0 && weather == "rain"`, nested
    fields as `pos.x`, the sizes of an image as `image.width`); a value that is no record is called `value`.

    **Nulls**: as in SQL, an expression over a null field is null, and only records for which `where` is true are kept: `x > 1`
    drops those without `x`. An expression that mentions null (`x == null || x > 1`) deals with it itself.

    **Faults**: unknown fields and mismatched types are rejected before it runs. A record for which the expression has no
    value (a division by zero, a missing key of a json value) is a faulty record.
    """

    params: Params

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The input's type, once the expression fits it."""
        compile_expression(params.where, inputs["in"], what="where", expect=BOOL)
        return {"out": inputs["in"]}

    def setup(self, context: Context) -> None:
        """Compiles the expression."""
        self._where = compile_expression(self.params.where, context.input_type("in"), what="where", expect=BOOL)

    def process(self, record: T, context: Context) -> T | None:
        """The record, or None."""
        kept = self._where.evaluate(record)
        if kept is True:
            return record
        if kept is False or kept is None:
            return None
        raise RecordError(f"where: {self.params.where!r} is {kept!r} here, neither true nor false")
