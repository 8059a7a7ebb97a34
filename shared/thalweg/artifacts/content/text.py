"""UTF-8 text, line by line in bounded memory."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from thalweg.artifacts.content.faults import mismatch
from thalweg.artifacts.digests import blocks_of

MAX_LINE_BYTES = 16 << 20  # what csv-source and jsonl-source read at most
_UTF8_HINT = "convert the file to UTF-8"


def check_utf8(path: Path) -> None:
    """Refuse a file that is not UTF-8 text, or has NUL bytes."""
    decoder, offset = codecs.getincrementaldecoder("utf-8")(), 0
    with path.open("rb") as stream:
        for block in blocks_of(stream):
            _decode(decoder, block, offset, final=False)
            offset += len(block)
    _decode(decoder, b"", offset, final=True)


def _decode(decoder: codecs.IncrementalDecoder, block: bytes, offset: int, *, final: bool) -> None:
    pending = len(decoder.getstate()[0])
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError as error:
        raise mismatch(f"byte {offset - pending + error.start}", f"{error.reason}: not UTF-8", _UTF8_HINT) from None
    if (nul := block.find(0)) >= 0:
        raise mismatch(f"byte {offset + nul}", "a NUL byte: not text")


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers from 1; one that is longer than `MAX_LINE_BYTES` is refused."""
    with path.open("rb") as stream:
        number = 0
        while line := stream.readline(MAX_LINE_BYTES):
            number += 1
            if len(line) == MAX_LINE_BYTES:
                raise mismatch(f"line {number}", f"longer than {MAX_LINE_BYTES >> 20} MiB", "is this a text file?")
            yield number, line


def decoded(path: Path) -> Iterator[str]:
    """The lines of a text file, without byte order mark."""
    for number, line in lines_of(path):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise mismatch(f"line {number}", f"byte 0x{line[error.start]:02x} is not UTF-8", _UTF8_HINT) from None
        if "\0" in text:
            raise mismatch(f"line {number}", "a NUL byte: not text")
        yield text
