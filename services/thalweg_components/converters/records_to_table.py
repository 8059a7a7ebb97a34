"""records-to-table: gathers records into tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, Emit, component
from thalweg.errors import RejectedError
from thalweg.graph.types import Record, StreamType, TableOf, format_type

In = TypeVar("In")
Out = TypeVar("Out")


class Params(BaseModel):
    """How large the tables are."""

    model_config = ConfigDict(extra="forbid")

    rows: int = Field(1000, ge=1, le=100_000, description="records in a table; the last one may have fewer")


@dataclass
class State:
    """Rows so far, in msgpack, and the latest of their event times."""

    rows: list[bytes] = field(default_factory=list)
    latest_ns: int = -(2**63) + 1


@component("records-to-table", version="1.0.0", converter=True)
class RecordsToTable:
    """Gathers records into tables.

    **Ports**: `in` takes records; `out` emits a table when `rows` records are there, and at the end what is left. A table's event time
    is the latest one of its rows. Without records there is no table.

    **Params**: `rows` (records in a table, 1,000).

    **Faults**: an input that is no record is rejected before it runs. **Memory**: the rows of one table.
    """

    params: Params
    state: State

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """A table of the record's fields."""
        source = inputs["in"]
        if not isinstance(source, Record):
            raise RejectedError(f"{format_type(source)} is no record", code="type.unsupported")
        return {"out": TableOf(source.fields)}

    def setup(self, context: Context) -> None:
        """Makes the decoder of rows."""
        (row,) = get_args(context.record_class("out"))
        self._encode, self._decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(row).decode

    def process(self, record: In, context: Context) -> Iterator[Emit[Out]]:
        """Takes the record in; emits a full table."""
        self.state.rows.append(self._encode(record))
        self.state.latest_ns = max(self.state.latest_ns, context.time_ns)
        if len(self.state.rows) == self.params.rows:
            yield self._table()

    def finish(self, context: Context) -> Iterator[Emit[Out]]:
        """Emits what is left."""
        if self.state.rows:
            yield self._table()

    def _table(self) -> Emit[Any]:
        rows, time_ns = [self._decode(one) for one in self.state.rows], self.state.latest_ns
        self.state.rows, self.state.latest_ns = [], State().latest_ns
        return Emit(rows, time_ns)
