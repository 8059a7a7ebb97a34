"""split-list: a record for each item of a list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from thalweg import Context, component
from thalweg.errors import RejectedError
from thalweg.graph.types import INT, ListOf, OptionalOf, Record, StreamType, format_type
from thalweg_components.names import check_names

In = TypeVar("In")
Out = TypeVar("Out")


class Params(BaseModel):
    """Which list."""

    model_config = ConfigDict(extra="forbid")

    field: str | None = Field(None, description="field that holds the list; without it, the record is the list")
    into: str | None = Field(None, description="name of the field that holds the item; without it, that of the list")
    index: str | None = Field(None, description="name of a field that gets the item's place in the list, from 0")

    @model_validator(mode="after")
    def _check_names(self) -> Params:
        if self.field is None and (self.into or self.index):
            raise ValueError("into and index go with field: a list that is no field gives bare items")
        return self


@component("split-list", version="1.0.0")
class SplitList:
    """Emits a record for each item of a list, in order.

    **Ports**: `in` takes records with a field that is a list, or lists. `out` emits the record with the item in the list's place;
    of a bare list, the item.

    **Params**: `field` (the list), `into` (another name for the item's field), `index` (name of a field, last in the record, for
    the item's place from 0).

    **Nulls**: an empty list and a null one give nothing. Null items are items.

    **Faults**: a field that is missing or no list is rejected before it runs.
    """

    params: Params

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The record with the item's type in place of the list's."""
        return {"out": _output_type(params, inputs["in"])}

    def setup(self, context: Context) -> None:
        """Looks up the output's class."""
        kind = context.input_type("in")
        self._names = [name for name, _ in kind.fields] if isinstance(kind, Record) else []
        self._class = context.record_class("out")

    def process(self, record: In) -> Iterator[Out]:
        """The items."""
        if self.params.field is None:
            yield from record or ()  # type: ignore[misc]  # resolve_types has seen to it that it is a list
            return
        place = self._names.index(self.params.field)
        values = [getattr(record, name) for name in self._names]
        for index, item in enumerate(values[place] or ()):
            values[place] = item
            yield self._class(*values, *([index] if self.params.index else []))


def _output_type(params: Params, source: StreamType) -> StreamType:
    if params.field is None:
        return _item(source, "the input")
    if not isinstance(source, Record):
        raise RejectedError(f"field: {format_type(source)} is no record", code="type.unsupported", hint="leave field out for bare lists")
    fields: list[tuple[str, StreamType]] = []
    known = dict(source.fields)
    if params.field not in known:
        raise RejectedError(
            f"field: there is no field {params.field!r}", code="params.invalid", hint=f"known fields: {', '.join(known) or 'none'}"
        )
    for name, kind in source.fields:
        fields.append((params.into or name, _item(kind, name)) if name == params.field else (name, kind))
    fields += [(params.index, INT)] if params.index else []
    check_names([name for name, _ in fields], "output")
    return Record(tuple(fields))


def _item(kind: StreamType, what: str) -> StreamType:
    bare: Any = kind.item if isinstance(kind, OptionalOf) else kind
    if not isinstance(bare, ListOf):
        raise RejectedError(f"{what} is {format_type(kind)}, no list", code="type.unsupported")
    return bare.item
