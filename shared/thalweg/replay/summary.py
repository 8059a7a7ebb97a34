"""The summary at the end of a replay: what is in it and where, for readers that do not read all of it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import AttachmentIndex, ChunkIndex, DataEnd, Footer, McapRecord, MetadataIndex, Statistics, SummaryOffset

from thalweg.replay.chunks import Channels, encode
from thalweg.replay.format import MAGIC

_FOOTER_HEAD = struct.Struct("<BQQQ")


@dataclass(slots=True)
class Contents:
    """What a replay holds so far."""

    channels: Channels
    chunks: list[ChunkIndex] = field(default_factory=list)
    attachments: list[AttachmentIndex] = field(default_factory=list)
    metadata: list[MetadataIndex] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)

    def add_chunk(self, index: ChunkIndex, counts: dict[int, int]) -> None:
        """Notes a chunk, and its messages by channel."""
        self.chunks.append(index)
        for channel, count in counts.items():
            self.counts[channel] = self.counts.get(channel, 0) + count

    def statistics(self) -> Statistics:
        """In numbers."""
        return Statistics(
            attachment_count=len(self.attachments),
            channel_count=len(self.channels.by_topic),
            channel_message_counts=dict(sorted(self.counts.items())),
            chunk_count=len(self.chunks),
            message_count=sum(self.counts.values()),
            message_end_time=max((one.message_end_time for one in self.chunks), default=0),
            message_start_time=min((one.message_start_time for one in self.chunks), default=0),
            metadata_count=len(self.metadata),
            schema_count=len(self.channels.schemas),
        )


def ending(contents: Contents, offset: int, data_crc: int) -> bytes:
    """All that follows the data: the end of the data, the summary, the footer.

    Args:
        contents: what there is.
        offset: where this begins in the file.
        data_crc: CRC-32 of the file so far.
    """
    data_end = encode(DataEnd(data_crc))
    start = offset + len(data_end)
    groups: list[tuple[int, Sequence[McapRecord]]] = [
        (Opcode.SCHEMA, list(contents.channels.schemas.values())),
        (Opcode.CHANNEL, list(contents.channels.by_topic.values())),
        (Opcode.STATISTICS, [contents.statistics()]),
        (Opcode.CHUNK_INDEX, contents.chunks),
        (Opcode.ATTACHMENT_INDEX, contents.attachments),
        (Opcode.METADATA_INDEX, contents.metadata),
    ]
    body, offsets = _grouped(groups, start)
    offset_start = start + len(body)
    summary = body + offsets
    crc = zlib.crc32(_FOOTER_HEAD.pack(Opcode.FOOTER, 20, start, offset_start), zlib.crc32(summary))
    return data_end + summary + encode(Footer(start, offset_start, crc)) + MAGIC


def _grouped(groups: Iterable[tuple[int, Sequence[McapRecord]]], start: int) -> tuple[bytes, bytes]:
    body, offsets = RecordBuilder(), RecordBuilder()
    for opcode, records in groups:
        begin = body.count
        for record in records:
            record.write(body)
        if records:
            SummaryOffset(opcode, start + begin, body.count - begin).write(offsets)
    return bytes(body.end()), bytes(offsets.end())  # type: ignore[no-untyped-call]
