"""parquet-file: leaves the records that arrive as a Parquet file."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, GeneratedFile, component
from thalweg.graph.types import Record
from thalweg_components.files.arrow_types import Convert, arrow_schema, arrow_value
from thalweg_components.files.rows import field_value, plain_value

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

    **Faults**: an int beyond 64 bits with a sign is a faulty record. A stream without records leaves a file without rows.
    """

    params: Params
    file: Annotated[GeneratedFile, "parquet", "table.parquet"]

    def setup(self, context: Context) -> None:
        """Opens the file."""
        kind = context.input_type("in")
        self._fields = kind.fields if isinstance(kind, Record) else (("value", kind),)
        self._is_record = isinstance(kind, Record)
        self._converts = [(name, arrow_value(field)) for name, field in self._fields]
        self._schema = arrow_schema(kind)
        self._rows: list[list[Any]] = []
        self._writer = pq.ParquetWriter(str(self.file.path), self._schema, compression="zstd", store_schema=True)

    def process(self, record: T, context: Context) -> None:
        """Adds a row."""
        self._rows.append([self._cell(record, name, convert) for name, convert in self._converts])
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

    def _cell(self, record: Any, name: str, convert: Convert | None) -> Any:
        value = plain_value(field_value(record, name) if self._is_record else record)
        return value if convert is None else convert(value)

    def _flush(self) -> None:
        columns = [pa.array(values, type=column.type) for values, column in zip(zip(*self._rows, strict=True), self._schema, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema), row_group_size=self.params.row_group_rows)
        self._rows = []
