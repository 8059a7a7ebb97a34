"""table-to-records: a record for each row of a table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from thalweg import component
from thalweg.errors import RejectedError
from thalweg.graph.types import Record, StreamType, TableOf, format_type

In = TypeVar("In")
Out = TypeVar("Out")


@component("table-to-records", version="1.0.0", converter=True)
class TableToRecords:
    """Emits a record for each row of a table, in order.

    **Ports**: `in` takes tables; `out` emits their rows, each at the table's event time. A table without rows gives nothing.

    **Faults**: an input that is no table is rejected before it runs.
    """

    @classmethod
    def resolve_types(cls, params: None, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """A record of the table's columns."""
        source = inputs["in"]
        if not isinstance(source, TableOf):
            raise RejectedError(f"{format_type(source)} is no table", code="type.unsupported", hint="for a list, there is split-list")
        return {"out": Record(source.fields)}

    def process(self, table: In) -> Iterator[Out]:
        """The rows."""
        yield from table  # type: ignore[misc]  # resolve_types has seen to it
