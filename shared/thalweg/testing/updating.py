"""Writes golden files anew where a run has left something else."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thalweg.testing.checks import GoldenRecords, Verdict
from thalweg.testing.comparing import Tolerance
from thalweg.testing.goldens import GoldenWriter, read_golden


class UpdatedGolden:
    """As `GoldenRecords`, and the golden file is written where it is missing or differs by more than the tolerance.

    Args:
        path: of the golden file.
        tolerance: as for the comparison.
    """

    def __init__(self, path: Path, tolerance: Tolerance) -> None:
        self._path = path
        self._check = GoldenRecords(_records(path), tolerance)
        self._writer: GoldenWriter | None = None

    def take(self, value: Any) -> None:
        """Compares the next record, and keeps it."""
        self._check.take(value)
        self._open().take(value)

    def verdict(self) -> Verdict:
        """Always met: what differs is written."""
        found, writer = self._check.verdict(), self._open()
        if found.is_met and self._path.exists():
            writer.drop()
            return found
        writer.keep()
        return Verdict(True, f"written: {self._path.name}")

    def drop(self) -> None:
        """Forgets what was kept, where the run does not come to its end."""
        if self._writer is not None:
            self._writer.drop()

    def _open(self) -> GoldenWriter:
        if self._writer is None:
            self._writer = GoldenWriter(self._path)
        return self._writer


def update_file(left: Path, golden: Path) -> Verdict:
    """Puts a generated file or directory in the place of the golden one."""
    golden.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=golden.parent, prefix=".golden-") as scratch:
        copy = Path(scratch) / "new"
        if left.is_dir():
            shutil.copytree(left, copy)
        else:
            shutil.copyfile(left, copy)
        if golden.is_dir() or (left.is_dir() and os.path.lexists(golden)):
            golden.rename(Path(scratch) / "old")
        copy.replace(golden)
    return Verdict(True, f"written: {golden.name}")


def _records(path: Path) -> Iterator[Any]:
    return read_golden(path) if path.exists() else iter(())
