"""parquet-file: leaves the records that arrive as a Parquet file."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, GeneratedFile, component
from thalweg.graph.types import Record
from thalweg_components.files.arrow_types import arrow_schema, is_json_text
from thalweg_components.files.rows import column_values

T = TypeVar("T")


class Params(BaseModel):
    """How the file is laid out."""

    model_config = ConfigDict(extra="forbid")

    row_group_rows: int = Field(10_000, ge=1, le=1_000_000, description="rows of a row group: what is held in memory")


@component("parquet-file", version="1.0.0")
class ParquetFile:
    """Leaves the records that arrive as a Parquet file, in the order in which they arrive.

    **Ports**: `in` takes records: a field becomes a column, `T?` a nullable one, nested records structs, json JSON text.
    A value that is no record goes into one column `value`.

    **Generates** `file` (parquet, `table.parquet`): zstd, row groups of exactly `row_group_rows` rows, nothing in it that
    depends on when or where it was written: the same records give the same bytes.

    **Params**: `row_group_rows` (rows, 10,000).

    **Faults**: none of its own; a stream without records leaves a file without rows.
    """

    params: Params
    file: Annotated[GeneratedFile, "parquet", "table.parquet"]

    def setup(self, context: Context) -> None:
        """Opens the file."""
        kind = context.input_type("in")
        self._fields = kind.fields if isinstance(kind, Record) else (("value", kind),)
        self._is_record = isinstance(kind, Record)
        self._encoded = [
            is_json_text(field) and pa.types.is_string(column.type)
            for (_, field), column in zip(self._fields, arrow_schema(kind), strict=True)
        ]
        self._schema = arrow_schema(kind)
        self._rows: list[Any] = []
        self._writer = pq.ParquetWriter(str(self.file.path), self._schema, compression="zstd", store_schema=True)

    def process(self, record: T, context: Context) -> None:
        """Adds a row."""
        self._rows.append(record)
        if len(self._rows) == self.params.row_group_rows:
            self._flush()

    def finish(self, context: Context) -> None:
        """Writes the last row group and the footer."""
        if self._rows:
            self._flush()
        self._writer.close()

    def close(self) -> None:
        """Lets go of the file, wherever it stands."""
        if getattr(self, "_writer", None) is not None and self._writer.is_open:
            self._writer.close()

    def _flush(self) -> None:
        columns = []
        for (name, _), column, encoded in zip(self._fields, self._schema, self._encoded, strict=True):
            values = column_values(self._rows, name if self._is_record else None)
            if encoded:
                values = [None if value is None else msgspec.json.encode(value).decode() for value in values]
            columns.append(pa.array(values, type=column.type))
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema), row_group_size=self.params.row_group_rows)
        self._rows = []
