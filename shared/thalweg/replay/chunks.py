"""Chunks of a replay: built from messages, and taken apart again."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec
import zstandard
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, ChunkIndex, McapRecord, MessageIndex, Schema

from thalweg.graph.partitions import partition_of
from thalweg.replay.format import HEADERS_SCHEMA, HEADERS_TOPIC, MAX_RECORD_BYTES, Entry, Headers, decode_headers, schema_of
from thalweg.replay.records import HEAD, Group, damaged, read_record
from thalweg.wire.subjects import parse_port

_MESSAGE = struct.Struct("<BQHIQQ")
_ZSTD, LAST_NS = b"zstd", 2**64 - 1
_CHUNK = struct.Struct(f"<QQQII{len(_ZSTD)}sQ")  # first and last time, size and CRC-32 of what is packed, compression, length of the rest
_FIELDS = struct.Struct("<HIQQ")
_compressor = zstandard.ZstdCompressor(level=1)  # twice as fast as the usual 3, for some percent more bytes


def encode(record: McapRecord) -> bytes:
    """A record of the file."""
    builder = RecordBuilder()
    record.write(builder)
    return bytes(builder.end())  # type: ignore[no-untyped-call]


class Channels:
    """The channels of a replay, numbered as their first messages come.

    Args:
        type_of: stream type of a (vertex, port); None for one that is not known.
    """

    def __init__(self, type_of: Callable[[str, str], str | None]) -> None:
        self._type_of = type_of
        self.by_topic: dict[str, Channel] = {}
        self.schemas: dict[str, Schema] = {}

    def channel(self, topic: str) -> tuple[Channel, list[McapRecord]]:
        """A channel, and what is to be written before its first message."""
        if topic in self.by_topic:
            return self.by_topic[topic], []
        schema, fresh = self._schema(topic)
        place = parse_port(topic)
        metadata = {"vertex": place[0], "port": place[1], "partition": str(partition_of(place[0])[1])} if place is not None else {}
        if schema is not None and topic != HEADERS_TOPIC:
            metadata["type"] = schema.name
        encoding = "json" if topic == HEADERS_TOPIC else "msgpack"
        channel = Channel(len(self.by_topic) + 1, topic, encoding, metadata, schema.id if schema is not None else 0)
        self.by_topic[topic] = channel
        return channel, [*fresh, channel]

    def know(self, record: McapRecord) -> None:
        """Takes over a schema or channel that was read."""
        if isinstance(record, Schema):
            self.schemas[record.name] = record
        elif isinstance(record, Channel):
            self.by_topic[record.topic] = record

    def _schema(self, topic: str) -> tuple[Schema | None, list[McapRecord]]:
        place = parse_port(topic)
        stream_type = self._type_of(place[0], place[1]) if place is not None else None
        if topic != HEADERS_TOPIC and stream_type is None:
            return None, []
        name, data = (HEADERS_TOPIC, HEADERS_SCHEMA) if stream_type is None else (stream_type, schema_of(stream_type))
        if name in self.schemas:
            return self.schemas[name], []
        schema = self.schemas[name] = Schema(len(self.schemas) + 1, data, "jsonschema", name)
        return schema, [schema]


class ChunkBuilder:
    """Messages up to the end of a chunk.

    Args:
        channels: of the whole file.
    """

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._plain = bytearray()
        self._index: dict[int, list[int]] = {}  # by channel: time and offset of each message, one behind the other
        self._low_ns, self._high_ns = LAST_NS, 0

    @property
    def size_bytes(self) -> int:
        """What is in it, before it is packed."""
        return len(self._plain)

    def add(self, entry: Entry) -> None:
        """Adds a message of the log."""
        self._message(HEADERS_TOPIC, entry, entry.headers)
        if entry.body is not None:
            self._message(entry.subject, entry, entry.body)

    def _message(self, topic: str, entry: Entry, data: bytes) -> None:
        channel, fresh = self._channels.channel(topic)
        plain, time_ns = self._plain, entry.time_ns
        for record in fresh:
            plain += encode(record)
        self._index.setdefault(channel.id, []).extend((time_ns, len(plain)))
        self._low_ns, self._high_ns = min(self._low_ns, time_ns), max(self._high_ns, time_ns)
        plain += _MESSAGE.pack(Opcode.MESSAGE, 22 + len(data), channel.id, entry.sequence & 0xFFFFFFFF, time_ns, time_ns)
        plain += data

    def finish(self, offset: int) -> tuple[list[bytes], ChunkIndex, dict[int, int]]:
        """The chunk with its message indexes, as they stand at `offset` of the file; its entry in the summary; messages by channel.

        Both are encoded here and left in pieces: `mcap` would copy what is packed several times, and take each entry of an index alone.
        """
        plain, times = self._plain, (self._low_ns, self._high_ns)
        packed = _compressor.compress(plain)
        fields = _CHUNK.pack(*times, len(plain), zlib.crc32(plain), len(_ZSTD), _ZSTD, len(packed))
        parts = [HEAD.pack(Opcode.CHUNK, len(fields) + len(packed)) + fields, packed]
        size = len(parts[0]) + len(packed)
        offsets: dict[int, int] = {}
        place = offset + size
        for channel, pairs in self._index.items():
            offsets[channel] = place
            body = struct.pack(f"<HI{len(pairs)}Q", channel, 8 * len(pairs), *pairs)
            parts.append(HEAD.pack(Opcode.MESSAGE_INDEX, len(body)) + body)
            place += len(parts[-1])
        after = place - offset - size
        index = ChunkIndex(size, offset, _ZSTD.decode(), len(packed), times[1], after, offsets, times[0], len(plain))
        return parts, index, {channel: len(pairs) // 2 for channel, pairs in self._index.items()}


def index_of(group: Group) -> tuple[ChunkIndex, dict[int, int]]:
    """The entry of a written chunk in the summary, and its messages by channel.

    Raises:
        RejectedError: `replay.damaged`, it is not whole.
    """
    chunk, offsets, counts = read_record(Chunk, group.chunk.content), dict[int, int](), Counter[int]()
    for one in open_chunk(group.chunk.content):
        if isinstance(one, Message):
            counts[one.channel] += 1
    for index in group.indexes:
        offsets[read_record(MessageIndex, index.content).channel_id] = index.start
    if list(offsets) != list(counts):
        raise damaged("a chunk without its indexes")
    size, after = group.chunk.end - group.chunk.start, group.end - group.chunk.end
    times = chunk.message_end_time, chunk.message_start_time
    found = ChunkIndex(size, group.chunk.start, "zstd", len(chunk.data), times[0], after, offsets, times[1], chunk.uncompressed_size)
    return found, dict(counts)


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the file."""

    channel: int
    time_ns: int
    data: bytes


def open_chunk(content: bytes) -> Iterator[Message | Schema | Channel]:
    """What a chunk holds, in order; all of it is checked before.

    Raises:
        RejectedError: `replay.damaged`.
    """
    plain = memoryview(_unpack(content))
    place = 0
    while place < len(plain):
        if place + HEAD.size > len(plain):
            raise damaged("a chunk ends in the middle of a record")
        opcode, size = HEAD.unpack_from(plain, place)
        place += HEAD.size
        if place + size > len(plain):
            raise damaged("a chunk ends in the middle of a record")
        if opcode == Opcode.MESSAGE:
            channel, _, time_ns, _ = _FIELDS.unpack_from(plain, place)
            yield Message(channel, time_ns, bytes(plain[place + _FIELDS.size : place + size]))
        elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
            kind: type[Schema] | type[Channel] = Schema if opcode == Opcode.SCHEMA else Channel
            yield read_record(kind, bytes(plain[place : place + size]))
        place += size


def entries_of(found: Iterator[Message | Schema | Channel], channels: Channels) -> Iterator[Entry]:
    """The messages of the log in a chunk; `channels` learns those that it defines.

    Raises:
        RejectedError: `replay.damaged`.
    """
    topics = {channel.id: topic for topic, channel in channels.by_topic.items()}
    waiting: tuple[Message, str, int] | None = None
    for one in found:
        if not isinstance(one, Message):
            channels.know(one)
            topics = {channel.id: topic for topic, channel in channels.by_topic.items()}
        elif topics.get(one.channel) == HEADERS_TOPIC:
            headers = _headers(one.data)
            if headers.omitted_bytes is not None:
                yield Entry(headers.subject, headers.sequence, one.time_ns, one.data, None)
            else:
                waiting = one, headers.subject, headers.sequence
        elif waiting is not None and topics.get(one.channel) == waiting[1]:
            yield Entry(waiting[1], waiting[2], one.time_ns, waiting[0].data, one.data)
            waiting = None
        else:
            raise damaged("a body without its headers")


def _headers(data: bytes) -> Headers:
    try:
        return decode_headers(data)
    except msgspec.DecodeError as error:
        raise damaged("headers that cannot be read") from error


def _unpack(content: bytes) -> bytes:
    chunk = read_record(Chunk, content)
    if chunk.compression != "zstd" or chunk.uncompressed_size > MAX_RECORD_BYTES:
        raise damaged("a chunk of another kind")
    try:
        if zstandard.frame_content_size(chunk.data) != chunk.uncompressed_size:
            raise damaged("a chunk of another size")
        plain = zstandard.ZstdDecompressor().decompress(chunk.data, max_output_size=max(1, chunk.uncompressed_size))
    except zstandard.ZstdError as error:
        raise damaged(f"a chunk cannot be unpacked: {error}") from error
    if zlib.crc32(plain) != chunk.uncompressed_crc:
        raise damaged("a chunk does not fit its checksum")
    return plain
