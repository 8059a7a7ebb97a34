"""CSV and Parquet files: their rows' shape, and the types of their columns."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from thalweg.artifacts.content.faults import Facts, mismatch
from thalweg.artifacts.content.text import decoded
from thalweg.errors import RejectedError
from thalweg.graph.parse import parse_type
from thalweg.graph.types import format_type
from thalweg.sdk.cells import ColumnGuess

INFERRED_ROWS = 1000
_DELIMITERS = ",;\t|"


def check_csv(path: Path) -> None:
    """Refuse what has no header, is not UTF-8, or has a row with more or fewer cells than the header."""
    rows = _rows(path)
    width = len(_header(path, rows))
    for number, cells in enumerate(rows, 1):
        if len(cells) != width:
            raise mismatch(f"row {number}", f"has {len(cells)} cells, the header has {width}")


def check_csv_header(path: Path) -> None:
    """Refuse what has no header that can be read."""
    _header(path, _rows(path))


def describe_csv(path: Path) -> Facts:
    """Columns with their types, inferred from the first rows."""
    rows = _rows(path)
    names = _header(path, rows)
    guesses = [ColumnGuess(frozenset({""})) for _ in names]
    with suppress(RejectedError):  # faulty rows that `rows=False` has let pass
        for cells in itertools.islice(rows, INFERRED_ROWS):
            for guess, cell in zip(guesses, cells, strict=False):
                guess.see(cell)
    return {"columns": {name: format_type(guess.type) for name, guess in zip(names, guesses, strict=True)}}


def _rows(path: Path) -> Iterator[list[str]]:
    """Rows that are not empty, the header first."""
    reader = csv.reader(decoded(path), delimiter=_delimiter(path), strict=True)
    try:
        for cells in reader:
            if cells:
                yield cells
    except csv.Error as error:
        raise mismatch(f"line {reader.line_num}", str(error)) from None


def _delimiter(path: Path) -> str:
    """The delimiter that the first line has most of; a comma when it has none."""
    first = next(decoded(path), "")
    return max(_DELIMITERS, key=first.count)


def _header(path: Path, rows: Iterator[list[str]]) -> list[str]:
    names = [name.strip() for name in next(rows, [])]
    if not names:
        raise mismatch(path.name, "the file is empty: it has no header")
    for index, name in enumerate(names):
        if name in names[:index]:
            raise mismatch("header", f"column {name!r} is there more than once", "rename one of them")
    return names


def check_parquet(path: Path) -> None:
    """Refuse a file without a readable footer, or whose column chunks lie outside it."""
    size_bytes = path.stat().st_size
    metadata = _parquet_metadata(path)
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(column)
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            if start < 4 or start + chunk.total_compressed_size > size_bytes:
                raise mismatch(f"row group {group}, column {chunk.path_in_schema}", "lies outside the file: it is damaged")


def describe_parquet(path: Path) -> Facts:
    """Columns with their stream types; `unsupported` where streams have none."""
    schema = _parquet_metadata(path).schema.to_arrow_schema()
    return {"columns": {field.name: _type_text(field) for field in schema}}


def _parquet_metadata(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise mismatch(path.name, f"no Parquet: {error}") from None


def _type_text(field: Any) -> str:
    from thalweg.sdk.arrow import stream_type_of

    try:
        text = format_type(stream_type_of(field.type, field.nullable))
        parse_type(text)  # a nested field's name may be none of ours
    except (KeyError, RejectedError):
        return "unsupported"
    return text
