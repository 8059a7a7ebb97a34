"""Lines of a text file in constant memory, with the byte offset behind the last one taken."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import BinaryIO

from thalweg import RecordError

MAX_LINE_BYTES = 16 * 1024 * 1024
csv.field_size_limit(MAX_LINE_BYTES)  # of the process; the default of 128 KiB is less than real cells hold


class TextLines:
    """Iterator over decoded lines that `csv.reader` can pull from.

    Attributes:
        offset: byte offset behind the last line taken: where a cursor resumes.
    """

    def __init__(self, file: BinaryIO, offset: int) -> None:
        file.seek(offset)
        self._file, self.offset = file, offset
        self._taken: list[bytes] = []

    @property
    def raw(self) -> bytes:
        """Bytes of the lines taken since `mark`."""
        return b"".join(self._taken)

    def mark(self) -> None:
        """Forgets the raw bytes gathered so far: the next record starts here."""
        self._taken.clear()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_LINE_BYTES)
        if not line:
            raise StopIteration
        start = self.offset
        self.offset += len(line)
        self._taken.append(line)
        if len(line) == MAX_LINE_BYTES:
            raise RecordError(f"the line at byte {start} is longer than {MAX_LINE_BYTES} bytes", hint="is this a text file?")
        try:
            return line.decode("utf-8-sig" if start == 0 else "utf-8")
        except UnicodeDecodeError as error:
            raise RecordError(
                f"byte {start + error.start} (0x{line[error.start]:02x}) is not UTF-8", hint="convert the file to UTF-8"
            ) from None
