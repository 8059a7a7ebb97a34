"""switch: sends each record to the port of the first condition that is true for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from thalweg import Context, Emit, component
from thalweg.graph.fields import is_name
from thalweg.graph.types import BOOL, StreamType
from thalweg_components.expressions import CompiledExpression, compile_expression

T = TypeVar("T")
ELSE = "else"
MAX_CASES = 64


class Params(BaseModel):
    """Where records go."""

    model_config = ConfigDict(extra="forbid")

    cases: dict[str, str] = Field(min_length=1, max_length=MAX_CASES, description="output port -> CEL condition; the first true one counts")

    @field_validator("cases")
    @classmethod
    def _check_ports(cls, value: dict[str, str]) -> dict[str, str]:
        for port in value:
            if not is_name(port) or port == ELSE:
                raise ValueError(f"{port[:80]!r} cannot name a port: use letters, digits, '-' or '_'; {ELSE!r} is there already")
        return value


@component("switch", version="1.0.0", ports_param="cases")
class Switch:
    """Sends each record, unchanged, to the port of the first condition that is true for it.

    **Ports**: `in` takes any type. Each key of `cases` is an output port of the same type; `else` emits the records for which no
    condition is true. Ports that no edge starts from are fine.

    **Params**: `cases`: port: CEL condition (`{hot: temp > 30.0, cold: temp < 0.0}`), 64 at most. They are tried in the order in
    which they are written.

    **Nulls**: as in SQL, a condition over a null field is null, which is not true: the next one is tried. One that mentions null
    (`temp == null`) deals with it itself.

    **Faults**: unknown fields and mismatched types are rejected before it runs. A record for which a condition has no value
    (a division by zero, a missing key of a json value) is a faulty record.
    """

    outputs: ClassVar[dict[str, Any]] = {ELSE: T}
    params: Params

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The input's type on every port, once the conditions fit it."""
        _compile(params, inputs["in"])
        return dict.fromkeys((*params.cases, ELSE), inputs["in"])

    def setup(self, context: Context) -> None:
        """Compiles the conditions."""
        self._cases = _compile(self.params, context.input_type("in"))

    def process(self, record: T) -> Emit[T]:
        """The record, on its port."""
        return Emit(record, port=next((port for port, case in self._cases if case.evaluate(record) is True), ELSE))


def _compile(params: Params, source: StreamType) -> list[tuple[str, CompiledExpression]]:
    return [(port, compile_expression(text, source, what=f"cases.{port}", expect=BOOL)) for port, text in params.cases.items()]
