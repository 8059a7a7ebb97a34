"""csv-file: leaves the records that arrive as a CSV file."""

from __future__ import annotations

import csv
import datetime as dt
from typing import Annotated, Any, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, GeneratedFile, component
from thalweg.graph.types import Record
from thalweg_components.files.rows import field_value

T = TypeVar("T")


class Params(BaseModel):
    """How the file is written."""

    model_config = ConfigDict(extra="forbid")

    delimiter: str = Field(",", min_length=1, max_length=1, description="character between cells")
    null_value: str = Field("", description="cell that stands for null")
    header: bool = True


@component("csv-file", version="1.0.0")
class CsvFile:
    """Leaves the records that arrive as a CSV file, in the order in which they arrive.

    **Ports**: `in` takes records: a field becomes a column. A value that is no record goes into one column `value`.

    **Generates** `file` (csv, `table.csv`): UTF-8, lines end in one line feed, cells are quoted where they must be.
    Timestamps are ISO 8601 in UTC, booleans `true` and `false`, nested values JSON. The same records give the same bytes.

    **Params**: `delimiter`, `null_value` (cell that stands for null), `header`.

    **Faults**: none of its own; a stream without records leaves the header alone.
    """

    params: Params
    file: Annotated[GeneratedFile, "csv", "table.csv"]

    def setup(self, context: Context) -> None:
        """Opens the file and writes the header."""
        kind = context.input_type("in")
        self._names = [name for name, _ in kind.fields] if isinstance(kind, Record) else None
        self._out = self.file.path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._out, delimiter=self.params.delimiter, lineterminator="\n")
        self._quoting = csv.writer(self._out, delimiter=self.params.delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
        if self.params.header:
            self._writer.writerow(self._names or ["value"])

    def process(self, record: T, context: Context) -> None:
        """Adds a row."""
        values = [record] if self._names is None else [field_value(record, name) for name in self._names]
        cells = [self.params.null_value if value is None else _cell(value) for value in values]
        has_return = any(isinstance(cell, str) and "\r" in cell for cell in cells)  # Python 3.11 leaves these bare, and reads two rows
        (self._quoting if has_return else self._writer).writerow(cells)

    def finish(self, context: Context) -> None:
        """Completes the file."""
        self._out.close()

    def close(self) -> None:
        """Lets go of the file, wherever it stands."""
        if hasattr(self, "_out"):
            self._out.close()


def _cell(value: Any) -> Any:
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return value
    text = msgspec.json.encode(value).decode()
    return text.strip('"') if isinstance(value, (bytes, dt.datetime, dt.timedelta)) else text
