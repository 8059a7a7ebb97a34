"""Golden records: a JSON lines file with what a port must put out; read lazily, written whole or not at all."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from thalweg.errors import RejectedError

MAX_LINE_BYTES = 64 << 20


def read_golden(path: Path) -> Iterator[Any]:
    """Its records as JSON values, in order; `NaN` and infinities are numbers there, which JSON has not.

    Raises:
        RejectedError: `golden.unreadable`, with the line.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), 1):
                if line.strip():
                    yield _read_line(path, number, line)
    except OSError as error:
        raise RejectedError(f"{path} cannot be read: {error.strerror}", code="golden.unreadable") from error


def _read_line(path: Path, number: int, line: bytes) -> Any:
    if len(line) > MAX_LINE_BYTES:
        raise RejectedError(f"{path}, line {number}: longer than {MAX_LINE_BYTES:,} bytes", code="golden.unreadable")
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RejectedError(f"{path}, line {number}: is not JSON: {error}", code="golden.unreadable") from error


def golden_line(value: Any) -> str:
    """A decoded record as a line of a golden file: times as ISO 8601, bytes as base64."""
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=False) + "\n"


class GoldenWriter:
    """Collects the records of a port beside a golden file, which `keep` replaces at once.

    Args:
        path: of the golden file; its folder is made where there is none.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=".golden-", delete=False)  # noqa: SIM115
        self._partial = Path(self._file.name)

    def take(self, value: Any) -> None:
        """The next record, decoded."""
        self._file.write(golden_line(value))

    def keep(self) -> None:
        """Puts what was collected in the place of the golden file."""
        self._file.close()
        self._partial.chmod(0o644)
        self._partial.replace(self._path)

    def drop(self) -> None:
        """Leaves the golden file as it is; idempotent, and nothing after `keep`."""
        self._file.close()
        self._partial.unlink(missing_ok=True)
