"""Compares a generated file with a golden one: tables row by row within a tolerance, text by line, anything else by byte."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thalweg.artifacts.digests import digest_of
from thalweg.errors import RejectedError
from thalweg.testing.checks import Broken, GoldenRecords, Verdict
from thalweg.testing.comparing import Difference, Tolerance, shown
from thalweg.testing.goldens import MAX_LINE_BYTES, read_golden

TABLES = frozenset({"csv", "jsonl", "parquet"})
_BATCH_ROWS = 4_096
_BLOCK_BYTES = 1 << 20
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
csv.field_size_limit(MAX_LINE_BYTES)


def compare_files(got: Path, golden: Path, kind: str, tolerance: Tolerance) -> Verdict:
    """Whether a file is as the golden one. Blocking; reads both as streams.

    Args:
        got: what a run has left, a file or a directory.
        golden: what is expected; a table may be one of another kind, by its suffix.
        kind: artifact type of what was left.
        tolerance: for numbers and times in tables.

    Raises:
        RejectedError: one of them cannot be read.
    """
    if kind in TABLES:
        check = GoldenRecords(rows_of(golden, kind_of(golden, kind)), tolerance)
        for row in rows_of(got, kind):
            check.take(row)
        return check.verdict()
    if got.is_dir() or golden.is_dir():
        return _compare_directories(got, golden)
    if digest_of(got) == digest_of(golden):
        return Verdict(True, "as the golden file, byte by byte")
    return _compare_bytes(got, golden)


def count_rows(path: Path, kind: str) -> int:
    """Rows of a table. Blocking.

    Raises:
        RejectedError: it cannot be read.
    """
    return sum(1 for _ in rows_of(path, kind))


def kind_of(path: Path, otherwise: str) -> str:
    """Kind of a table by its suffix."""
    kind = path.suffix.lstrip(".").lower()
    return kind if kind in TABLES else otherwise


def rows_of(path: Path, kind: str) -> Iterator[Any]:
    """Rows of a table as dicts, in order. Cells of CSV that are spelled as numbers are numbers, empty ones None.

    Raises:
        RejectedError: `golden.unreadable`.
    """
    if kind == "jsonl":
        return read_golden(path)
    return _csv_rows(path) if kind == "csv" else _parquet_rows(path)


def _csv_rows(path: Path) -> Iterator[Any]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                yield {str(name): _cell(value) for name, value in row.items()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RejectedError(f"{path} cannot be read: {error}", code="golden.unreadable") from error


def _cell(text: Any) -> Any:
    if not isinstance(text, str) or not text:
        return text or None
    return float(text) if _NUMBER.fullmatch(text) else text


def _parquet_rows(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH_ROWS):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise RejectedError(f"{path} cannot be read: {error}", code="golden.unreadable") from error


def _compare_directories(got: Path, golden: Path) -> Verdict:
    if got.is_dir() != golden.is_dir():
        return Verdict(
            False, f"is a {'directory' if got.is_dir() else 'file'}, the golden one a {'directory' if golden.is_dir() else 'file'}"
        )
    left, right = (sorted(str(one.relative_to(root)) for one in root.rglob("*") if one.is_file()) for root in (got, golden))
    for name, other in itertools.zip_longest(left, right):
        if name != other:
            surplus = other is None or (name is not None and name < other)
            return Verdict(False, f"{name} is not in the golden directory" if surplus else f"{other} is missing")
        if digest_of(got / name) != digest_of(golden / name):
            return Verdict(False, f"{name}: {_compare_bytes(got / name, golden / name).reason}")
    return Verdict(True, f"{len(left):,} files as in the golden directory")


def _compare_bytes(got: Path, golden: Path) -> Verdict:
    """Of two files that differ."""
    with got.open("rb") as one, golden.open("rb") as other:
        pairs = enumerate(itertools.zip_longest(_lines(one), _lines(other)), 1)
        line, (left, right) = next(pair for pair in pairs if pair[1][0] != pair[1][1])
    try:
        texts = ["nothing" if text is None else shown(text.decode().rstrip("\r\n")) for text in (left, right)]
    except UnicodeDecodeError:
        sizes = [path.stat().st_size for path in (got, golden)]
        return Verdict(False, f"bytes differ: got {sizes[0]:,} bytes, the golden file has {sizes[1]:,}")
    difference = Difference("", texts[0], texts[1])
    return Verdict(False, f"line {line:,} is {texts[0]}, expected {texts[1]}", Broken(line - 1, texts[0], difference))


def _lines(file: Any) -> Iterator[bytes]:
    return iter(lambda: file.readline(_BLOCK_BYTES), b"")
