"""rename: gives fields other names."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, component
from thalweg.errors import RejectedError
from thalweg.graph.types import Record, StreamType, format_type
from thalweg_components.names import check_names

In = TypeVar("In")
Out = TypeVar("Out")


class Params(BaseModel):
    """The names."""

    model_config = ConfigDict(extra="forbid")

    fields: dict[str, str] = Field(min_length=1, max_length=10_000, description="old name -> new name; two may change places")


@component("rename", version="1.0.0")
class Rename:
    """Gives fields other names; their order and values stay.

    **Ports**: `in` takes records; `out` emits them with the new names.

    **Params**: `fields` (old name: new name). All are renamed at once: `{a: b, b: a}` lets two change places.

    **Faults**: unknown fields, and names that would be there twice, are rejected before it runs.
    """

    params: Params

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The fields under their new names."""
        source = inputs["in"]
        if not isinstance(source, Record):
            raise RejectedError(f"{format_type(source)} is no record", code="type.unsupported", hint="rename works on records")
        known = [name for name, _ in source.fields]
        unknown = next((name for name in params.fields if name not in known), None)
        if unknown is not None:
            raise RejectedError(f"fields: there is no field {unknown!r}", code="params.invalid", hint=f"known fields: {', '.join(known)}")
        fields = tuple((params.fields.get(name, name), kind) for name, kind in source.fields)
        check_names(name for name, _ in fields)
        return {"out": Record(fields)}

    def setup(self, context: Context) -> None:
        """Looks up the names."""
        source = context.input_type("in")
        self._names = [name for name, _ in source.fields] if isinstance(source, Record) else []
        self._class = context.record_class("out")

    def process(self, record: In) -> Out:  # type: ignore[type-var]  # what Out is, resolve_types says
        """The record under its new names."""
        return self._class(*[getattr(record, name) for name in self._names])  # type: ignore[no-any-return]
