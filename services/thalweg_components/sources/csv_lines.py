"""Lines of a text file in constant memory, with the byte offset behind the last one taken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from thalweg import RecordError

MAX_LINE_BYTES = 16 * 1024 * 1024


class TextLines:
    """Iterator over decoded lines that `csv.reader` can pull from.

    Attributes:
        offset: byte offset behind the last line taken: where a cursor resumes.
        raw: bytes of the lines taken since `mark`.
    """

    def __init__(self, file: BinaryIO, offset: int) -> None:
        file.seek(offset)
        self._file, self.offset = file, offset
        self.raw = b""

    def mark(self) -> None:
        """Forgets the raw bytes gathered so far: the next record starts here."""
        self.raw = b""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_LINE_BYTES)
        if not line:
            raise StopIteration
        start = self.offset
        self.offset += len(line)
        self.raw = line if not self.raw else self.raw + line
        if len(line) == MAX_LINE_BYTES:
            raise RecordError(f"the line at byte {start} is longer than {MAX_LINE_BYTES} bytes", hint="is this a text file?")
        try:
            return line.decode("utf-8-sig" if start == 0 else "utf-8")
        except UnicodeDecodeError as error:
            raise RecordError(
                f"byte {start + error.start} (0x{line[error.start]:02x}) is not UTF-8", hint="convert the file to UTF-8"
            ) from None
