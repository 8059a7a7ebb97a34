"""csv-source: rows of a CSV file."""

from __future__ import annotations

import csv
import difflib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from thalweg import At, Bad, Context, InputFile, RecordError, component
from thalweg.errors import RejectedError
from thalweg.graph.field_names import field_name
from thalweg.graph.parse import parse_type
from thalweg.graph.types import INT, TIMESTAMP, OptionalOf, Record, StreamType, format_type
from thalweg.sdk.cells import ColumnGuess, Parser, cell_parser
from thalweg_components.sources.csv_lines import TextLines
from thalweg_components.times import event_time_ns

INFERRED_ROWS = 1000
Row = TypeVar("Row")


class Params(BaseModel):
    """How the file is written."""

    model_config = ConfigDict(extra="forbid")

    columns: dict[str, str] = Field(default_factory=dict, description="column -> stream type; the others are inferred")
    time: str | None = Field(None, description="column that is the event time: a timestamp, or an int of UTC ns")
    delimiter: str = Field(",", min_length=1, max_length=1, description="character between cells")
    quote: str = Field('"', min_length=1, max_length=1, description="character around cells that hold delimiters or line ends")
    null_values: list[str] = Field(default_factory=lambda: [""], description="cells that stand for null")
    header: bool = Field(True, description="false: the file has no header, and `columns` names all columns in order")


@component("csv-source", version="1.0.0")
class CsvSource:
    """Reads a CSV file row by row, in constant memory.

    **Emits** on `out` one record a row, a field a column. Column names become field names: what is not
    a letter (a to z), a digit or `_` becomes `_` (`wind (m/s)` is `wind_m_s`), and a Python keyword gets a `_` (`class_`).
    Types are `bool`, `int`, `float`, `timestamp` (ISO 8601 dates or date-times, UTC where
    no zone is given) or `str`; what `columns` does not declare is inferred from the first 1,000 rows of the bound file,
    and a column with an empty cell among them is `T?`.

    **Files**: `table` (csv): UTF-8, with or without byte order mark, quoted cells may span lines.

    **Params**: `columns` (column: type), `time` (column of the event time; otherwise it is the row's ordinal),
    `delimiter`, `quote`, `null_values` (cells that stand for null, by default the empty one), `header`.

    **Faults**: a short or long row, a cell of a wrong type and bytes that are not UTF-8 are faulty records that name the
    row (the first one below the header is 1), the column and, for bytes, the offset. Empty lines are skipped. A file
    without header or with an unknown declared column is rejected before it runs.

    **Resumes** at the byte behind the last committed row.
    """

    params: Params
    table: Annotated[InputFile, "csv"]

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """Type of the rows: declared columns, and the inferred rest."""
        record = table_type(params, files.get("table"))
        if params.time is not None:
            _check_time(params.time, record)
        return {"out": record}

    def read(self, cursor: list[int] | None, context: Context) -> Iterator[At[Row] | Bad]:
        """Rows behind the cursor `[byte offset, rows read]`."""
        record = context.output_type("out")
        if not isinstance(record, Record):
            raise RejectedError("csv-source emits records", code="type.unsupported")
        yield from table_rows(self.table.path, self.params, record, context.record_class("out"), cursor)


def table_rows(
    path: Path, params: Params, record: Record, record_class: type[Any], cursor: list[int] | None = None
) -> Iterator[At[Any] | Bad]:
    """Rows of a file behind the cursor `[byte offset, rows read]`, as instances of a class that takes the fields in their order."""
    with path.open("rb") as file:
        offset, row = cursor if cursor is not None else (_body_offset(file, params), 0)
        yield from _rows(TextLines(file, offset), row, RowParser(record, params, record_class), params)


class RowParser:
    """Turns the cells of one row into a record with its event time."""

    def __init__(self, record: Record, params: Params, record_class: type[Any]) -> None:
        self._names = [name for name, _ in record.fields]
        self._types = dict(record.fields)
        self._parsers: list[Parser] = [cell_parser(stream, params.null_values) for _, stream in record.fields]
        self._class, self._width = record_class, len(record.fields)
        self._time = self._names.index(field_name(params.time)) if params.time is not None else None
        self._nulls = frozenset(params.null_values)

    def __call__(self, cells: list[str], row: int) -> tuple[Any, int | None]:
        """Raises RecordError that names row and column."""
        if len(cells) != self._width:
            raise RecordError(f"has {len(cells)} cells, the header has {self._width}", where=f"row {row}")
        try:
            values = [parse(cell) for parse, cell in zip(self._parsers, cells, strict=True)]
        except ValueError:
            raise self._fault(cells, row) from None
        if self._time is None:
            return self._class(*values), None
        try:
            return self._class(*values), event_time_ns(values[self._time])
        except RecordError as error:
            raise RecordError(str(error), where=f"row {row}, column {self._names[self._time]}") from None

    def _fault(self, cells: list[str], row: int) -> RecordError:
        for name, parse, cell in zip(self._names, self._parsers, cells, strict=True):
            try:
                parse(cell)
            except ValueError:
                shown = cell if len(cell) <= 40 else f"{cell[:40]}…"
                kind = format_type(self._types[name])
                hint = f"declare it: columns: {{{name}: {kind}?}}" if cell in self._nulls else f"declare it: columns: {{{name}: str}}"
                return RecordError(f"{shown!r} is not {kind}", where=f"row {row}, column {name}", hint=hint)
        return RecordError("cannot be read", where=f"row {row}")


def _rows(lines: TextLines, row: int, parse: RowParser, params: Params) -> Iterator[Any]:
    reader = csv.reader(lines, delimiter=params.delimiter, quotechar=params.quote)
    while True:
        lines.mark()
        try:
            cells = next(reader)
            if not cells:
                continue
            row += 1
            record, time_ns = parse(cells, row)
        except StopIteration:
            return
        except RecordError as error:
            if error.where is None:  # from the line itself, before there were cells
                row += 1
                error = RecordError(str(error), where=f"row {row}", hint=error.hint)
            yield Bad(error, lines.raw, [lines.offset, row])
        except csv.Error as error:
            row += 1
            yield Bad(RecordError(str(error), where=f"row {row}"), lines.raw, [lines.offset, row])
        else:
            yield At(record, [lines.offset, row], time_ns)


def _header(lines: TextLines, params: Params) -> list[str]:
    """Names as the file has them. Raises RejectedError where there are none, or two make one field."""
    try:
        cells = next((cells for cells in csv.reader(lines, delimiter=params.delimiter, quotechar=params.quote) if cells), None)
    except (RecordError, csv.Error) as error:
        raise RejectedError(f"the header cannot be read: {error}", code="file.invalid") from None
    if not cells:
        raise RejectedError("the file is empty: it has no header", code="file.invalid")
    fields = [field_name(cell) for cell in cells]
    doubled = sorted({name for name in fields if fields.count(name) > 1})
    if doubled:
        raise RejectedError(f"the header has column {doubled[0]!r} more than once", code="file.invalid", hint="rename one of them")
    return fields


def _body_offset(file: BinaryIO, params: Params) -> int:
    lines = TextLines(file, 0)
    if params.header:
        _header(lines, params)
    return lines.offset


def table_type(params: Params, path: Path | None) -> Record:
    """Type of the rows: declared columns, and the rest as the file has them. Raises RejectedError where that cannot be told."""
    declared = {field_name(name): parse_type(text) for name, text in params.columns.items()}
    for name, stream in declared.items():
        _check_cell_type(name, stream)
    if path is None or (not params.header and not declared):
        if not declared:
            raise RejectedError("columns: the types cannot be inferred", code="params.invalid", hint="bind the file, or declare columns")
        return Record(tuple(declared.items()), "Row")
    if not params.header:
        return Record(tuple(declared.items()), "Row")
    with path.open("rb") as file:
        return _infer(TextLines(file, 0), declared, params)


def _infer(lines: TextLines, declared: dict[str, StreamType], params: Params) -> Record:
    fields = _header(lines, params)
    for name in declared:
        if name not in fields:
            close = difflib.get_close_matches(name, fields, n=1)
            near = f" (did you mean {close[0]!r}?)" if close else ""
            raise RejectedError(
                f"columns: the file has no column {name!r}{near}", code="params.invalid", hint=f"it has: {', '.join(fields)}"
            )
    guesses = {name: ColumnGuess(frozenset(params.null_values)) for name in fields if name not in declared}
    if guesses:
        reader = csv.reader(lines, delimiter=params.delimiter, quotechar=params.quote)
        try:
            for cells in itertools.islice(reader, INFERRED_ROWS):
                for name, cell in zip(fields, cells, strict=False):
                    if name in guesses:
                        guesses[name].see(cell)
        except (RecordError, csv.Error):
            pass  # the run names the faulty row
    return Record(tuple((name, declared.get(name) or guesses[name].type) for name in fields), "Row")


def _check_cell_type(name: str, stream: StreamType) -> None:
    try:
        cell_parser(stream, ())
    except KeyError:
        raise RejectedError(
            f"columns.{name}: a cell cannot be {format_type(stream)}",
            code="params.invalid",
            hint="bool, int, float, str or timestamp, each with ? where it may be null",
        ) from None


def _check_time(time: str, record: Record) -> None:
    stream = dict(record.fields).get(field_name(time))
    if stream is None:
        raise RejectedError(
            f"time: the file has no column {time!r}", code="params.invalid", hint=f"it has: {', '.join(name for name, _ in record.fields)}"
        )
    if (stream.item if isinstance(stream, OptionalOf) else stream) not in (TIMESTAMP, INT):
        raise RejectedError(f"time: column {time!r} is {format_type(stream)}, not timestamp or int (ns)", code="params.invalid")
