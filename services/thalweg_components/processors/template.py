"""template: text out of the fields of a record."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, RecordError, component
from thalweg.errors import RejectedError
from thalweg.graph.types import STR, Record, StreamType, format_type
from thalweg_components.names import check_names
from thalweg_components.text_template import MAX_TEXT, TextTemplate

In = TypeVar("In")
Out = TypeVar("Out")
MAX_RESULT = 16 * 1024 * 1024


class Params(BaseModel):
    """What is written."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(max_length=MAX_TEXT, description="the text, with CEL expressions in braces, as in `{name}: {temp:.1f} °C`")
    into: str | None = Field(None, description="field that gets the text; without it, the text alone is emitted")
    null: str = Field("", max_length=1000, description="what stands for a null value")


@component("template", version="1.0.0")
class Template:
    """Writes text out of the fields of a record.

    **Ports**: `in` takes any type; a value that is no record is called `value`. `out` emits the text (`str`) or, with `into`, the
    record with the text in that field: a new one comes last.

    **Params**: `text`: braces hold CEL expressions (`{name}: {temp * 1.8 + 32.0:.1f} °F`); `{{` and `}}` are braces themselves. A
    number may be formatted as in Python with `:.1f` (also `e`, `g`, `%`), `:,.2f` or `:,`. `into` (a field), `null` (what stands
    for null, by default nothing).

    **Values**: text as it is, numbers as JSON has them, timestamps ISO 8601 in UTC, bytes base64, lists and records as JSON.

    **Faults**: unknown fields, braces that do not match, and a format for what is no number are rejected before it runs. A record
    for which an expression has no value, and a text of more than 16 Mi characters, is a faulty record.
    """

    params: Params

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """`str`, or the input's fields with the text among them."""
        source = inputs["in"]
        TextTemplate(params.text, source, params.null)
        if params.into is None:
            return {"out": STR}
        check_names([params.into], "into")
        if not isinstance(source, Record):
            raise RejectedError(f"into: {format_type(source)} is no record", code="type.unsupported", hint="leave into out")
        return {"out": Record(tuple((dict(source.fields) | {params.into: STR}).items()))}

    def setup(self, context: Context) -> None:
        """Compiles the text."""
        self._template = TextTemplate(self.params.text, context.input_type("in"), self.params.null)
        self._class = context.record_class("out")

    def process(self, record: In) -> Out:  # type: ignore[type-var]  # what Out is, resolve_types says
        """The text, or the record with it."""
        text = self._template.write(record)
        if len(text) > MAX_RESULT:
            raise RecordError(f"the text has {len(text)} characters; {MAX_RESULT} are allowed")
        into = self.params.into
        if into is None:
            return text  # type: ignore[return-value]
        values: list[Any] = [text if name == into else getattr(record, name) for name in self._class.__struct_fields__]
        return self._class(*values)  # type: ignore[no-any-return]
