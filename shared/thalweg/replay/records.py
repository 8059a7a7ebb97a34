"""Reads single records of an MCAP file; what is no such record is told as damage."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO, TypeVar

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import McapRecord

from thalweg.errors import RejectedError
from thalweg.replay.format import MAGIC, MAX_RECORD_BYTES

R = TypeVar("R", bound=McapRecord)
HEAD = struct.Struct("<BQ")


@dataclass(frozen=True, slots=True)
class Found:
    """A record as it stands in the file.

    Attributes:
        opcode: what it is.
        start, end: its place in the file; `start` is that of its opcode.
        content: what it holds.
    """

    opcode: int
    start: int
    end: int
    content: bytes


def damaged(what: str) -> RejectedError:
    """An error that says so."""
    return RejectedError(what, code="replay.damaged")


def read_record(kind: type[R], content: bytes) -> R:
    """A record out of its content.

    Raises:
        RejectedError: `replay.damaged`.
    """
    read: Any = kind.read  # type: ignore[attr-defined]
    try:
        found: R = read(ReadDataStream(BytesIO(content)))
    except (McapError, struct.error, UnicodeDecodeError, OverflowError, MemoryError) as error:
        raise damaged(f"a {kind.__name__} that cannot be read") from error
    return found


def records_from(file: BinaryIO, start: int) -> Iterator[Found]:
    """Records one after the other, until the closing magic.

    Raises:
        RejectedError: `replay.damaged`, what follows is no record or is cut off.
    """
    file.seek(start)
    place = start
    while True:
        head = file.read(HEAD.size)
        if head[: len(MAGIC)] == MAGIC:
            return
        if len(head) < HEAD.size:
            raise damaged(f"the file ends at byte {place + len(head):,}")
        opcode, size = HEAD.unpack(head)
        if not 1 <= opcode <= 15 or size > MAX_RECORD_BYTES:
            raise damaged(f"there is no record at byte {place:,}")
        content = file.read(size)
        if len(content) < size:
            raise damaged(f"the file ends at byte {place + HEAD.size + len(content):,}")
        end = place + HEAD.size + size
        yield Found(opcode, place, end, content)
        place = end


@dataclass(frozen=True, slots=True)
class Group:
    """A chunk with the message indexes behind it."""

    chunk: Found
    indexes: list[Found]

    @property
    def end(self) -> int:
        """Where it ends in the file."""
        return self.indexes[-1].end if self.indexes else self.chunk.end

    def raw(self) -> bytes:
        """Its bytes."""
        return b"".join(HEAD.pack(one.opcode, len(one.content)) + one.content for one in (self.chunk, *self.indexes))


def groups_from(file: BinaryIO, start: int) -> Iterator[Group]:
    """Chunks one after the other, up to whatever is something else; the last one may lack indexes where the file was cut off."""
    chunk: Found | None = None
    indexes: list[Found] = []
    try:
        for record in records_from(file, start):
            if record.opcode == Opcode.CHUNK:
                if chunk is not None:
                    yield Group(chunk, indexes)
                chunk, indexes = record, []
            elif record.opcode == Opcode.MESSAGE_INDEX and chunk is not None:
                indexes.append(record)
            else:
                break
    except RejectedError:
        pass
    if chunk is not None:
        yield Group(chunk, indexes)
