"""The format of a replay: an MCAP file with one channel a subject, one more for headers, and a record that proves it whole.

Each message of the log is two messages of the file, neighbours: its headers, as JSON on the channel `headers`, then its body on the
channel of its subject, byte for byte as on the wire. The body of a snapshot of state is left out; its headers stay.
Source: https://mcap.dev/spec
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from thalweg.graph.json_schema import json_schema
from thalweg.graph.parse import parse_type
from thalweg.wire.logged import Logged
from thalweg.wire.subjects import STATE_PORT, parse_port

MAGIC = b"\x89MCAP0\r\n"
PROFILE, LIBRARY = "thalweg", "thalweg replay 1"
ABOUT, COMPLETENESS = "thalweg.replay", "thalweg.completeness"  # names of metadata records
SPEC, ACCOUNT = "spec.json", "evidence.json"  # names of attachments
EVIDENCE = "thalweg.evidence"  # metadata with the verdict that the second tells, and its digest
HEADERS_TOPIC = "headers"
CHUNK_BYTES = 1 << 20
MAX_RECORD_BYTES = 64 << 20  # of any record that is read: a chunk holds one message beyond `CHUNK_BYTES` at most, of some 4 MiB


class Headers(msgspec.Struct, omit_defaults=True):
    """What a message was, beside its body.

    Attributes:
        sequence: of the log.
        subject: where it was written.
        headers: all but those that belong to its publication (`Nats-…`).
        omitted_bytes: size of a body that is left out.
    """

    sequence: int
    subject: str
    headers: dict[str, str]
    omitted_bytes: int | None = None


_encode, _decode = msgspec.json.Encoder(order="sorted").encode, msgspec.json.Decoder(Headers).decode


@dataclass(frozen=True, slots=True)
class Entry:
    """One message as it is recorded: `body` is None where it is left out, `headers` the JSON of `Headers`."""

    subject: str
    sequence: int
    time_ns: int
    headers: bytes
    body: bytes | None


def entry_of(message: Logged) -> Entry:
    """What is recorded of a message."""
    place = parse_port(message.subject)
    omitted = len(message.data) if place is not None and place[1] == STATE_PORT else None
    kept = {name: value for name, value in message.headers.items() if not name.startswith("Nats-")}
    headers = _encode(Headers(message.sequence, message.subject, kept, omitted))
    return Entry(message.subject, message.sequence, message.time_ns, headers, message.data if omitted is None else None)


def decode_headers(data: bytes) -> Headers:
    """Inverse of what `entry_of` makes. Raises msgspec.DecodeError."""
    return _decode(data)


def schema_of(stream_type: str) -> bytes:
    """JSON Schema of the batches of a port.

    Batches are msgpack, which has bytes and times where JSON has none: see `thalweg.graph.json_schema`.
    """
    number: dict[str, Any] = {"type": "integer"}
    numbers = {"type": "array", "items": number}
    properties = {
        "v": {"type": "array", "items": json_schema(parse_type(stream_type)), "description": f"values: {stream_type}"},
        "t": {**numbers, "description": "event times, UTC ns"},
        "k": {"anyOf": [number, numbers], "description": "record ids: a list, or the first where they count up"},
        "w": {"anyOf": [number, numbers], "description": "progress times"},
        "s": {"description": "state of the writer"},
        "r": {"description": "ids of the records from outside that they come from"},
    }
    return msgspec.json.encode({"type": "object", "title": "batch", "x-stream-type": stream_type, "properties": properties})


HEADERS_SCHEMA = msgspec.json.encode(
    {
        "type": "object",
        "title": "headers",
        "properties": {
            "sequence": {"type": "integer"},
            "subject": {"type": "string"},
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
            "omitted_bytes": {"type": "integer"},
        },
    }
)
