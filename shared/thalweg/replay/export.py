"""Turns a replay into an MCAP file for people's tools: one message a record, JSON, images by the schemas that viewers know.

Source: https://docs.foxglove.dev/docs/sdk/schemas
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from mcap.writer import CompressionType, Writer

from thalweg.graph.json_schema import json_schema
from thalweg.graph.parse import parse_type
from thalweg.replay.reader import Record, Replay
from thalweg.replay.showing import decode, is_image

_ENCODINGS = {"bgr8": ("bgr8", 3), "gray8": ("mono8", 1)}
_TIME = {"type": "object", "title": "time", "properties": {"sec": {"type": "integer"}, "nsec": {"type": "integer"}}}
_TEXT, _NUMBER, _BYTES = {"type": "string"}, {"type": "integer"}, {"type": "string", "contentEncoding": "base64"}
_IMAGE = {"timestamp": _TIME, "frame_id": _TEXT}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "foxglove.CompressedImage": {**_IMAGE, "data": _BYTES, "format": _TEXT},
    "foxglove.RawImage": {**_IMAGE, "width": _NUMBER, "height": _NUMBER, "encoding": _TEXT, "step": _NUMBER, "data": _BYTES},
}


class Exporter:
    """Writes one file.

    Args:
        replay: what to write.
        by_event_time: messages have the event time of their record as log time, else the time at which the server stored them; the other
            one is their publish time.
    """

    def __init__(self, replay: Replay, *, by_event_time: bool = True) -> None:
        self._replay, self._by_event_time = replay, by_event_time
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}

    def write(self, path: Path, ports: Sequence[tuple[str, str]]) -> int:
        """Writes all records of some ports; how many there were. Blocking, in bounded memory.

        Raises:
            OSError: the file cannot be written.
        """
        count = 0
        with path.open("wb") as file:
            writer = Writer(file, compression=CompressionType.ZSTD)
            writer.start(profile="", library="thalweg export 1")
            for vertex, port in ports:
                for record in self._replay.records(vertex, port):
                    self._write(writer, f"{vertex}.{port}", self._type(vertex, port), record)
                    count += 1
            writer.finish()  # type: ignore[no-untyped-call]
        return count

    def _write(self, writer: Writer, topic: str, stream_type: str, record: Record) -> None:
        value = decode(record.packed)
        for field, image in _images_in(value):
            self._image(writer, f"{topic}.{field}" if field else topic, record, image)
        if is_image(value):
            return
        if topic not in self._channels:
            values = json_schema(parse_type(stream_type)) if stream_type else {}
            properties = {"index": _NUMBER, "id": _TEXT, "event_time_ns": _NUMBER, "value": values}
            self._channels[topic] = self._register(writer, topic, f"{topic} record", properties)
        body = {"index": record.index, "id": f"{record.record_id:016x}", "event_time_ns": record.time_ns, "value": _without_images(value)}
        self._add(writer, topic, record, msgspec.json.encode(body))

    def _image(self, writer: Writer, topic: str, record: Record, image: dict[str, Any]) -> None:
        encoding = _ENCODINGS.get(image["format"])
        name = "foxglove.CompressedImage" if encoding is None else "foxglove.RawImage"
        time_ns = max(0, record.time_ns)
        body = {"timestamp": {"sec": time_ns // 10**9, "nsec": time_ns % 10**9}, "frame_id": topic}
        if encoding is None:
            body |= {"format": image["format"]}
        else:
            step = image["width"] * encoding[1]
            body |= {"width": image["width"], "height": image["height"], "encoding": encoding[0], "step": step}
        body |= {"data": base64.b64encode(image["data"]).decode()}
        if topic not in self._channels:
            self._channels[topic] = self._register(writer, topic, name, _SCHEMAS[name])
        self._add(writer, topic, record, msgspec.json.encode(body))

    def _register(self, writer: Writer, topic: str, name: str, properties: dict[str, Any]) -> int:
        if name not in self._schemas:
            schema = {"type": "object", "title": name, "properties": properties, "required": list(properties)}
            self._schemas[name] = writer.register_schema(name, "jsonschema", msgspec.json.encode(schema))
        return int(writer.register_channel(topic, "json", self._schemas[name]))

    def _add(self, writer: Writer, topic: str, record: Record, data: bytes) -> None:
        event_ns, stored_ns = max(0, record.time_ns), record.stored_ns
        log_ns, publish_ns = (event_ns, stored_ns) if self._by_event_time else (stored_ns, event_ns)
        writer.add_message(self._channels[topic], log_ns, data, publish_ns, record.index & 0xFFFFFFFF)

    def _type(self, vertex: str, port: str) -> str:
        spec = self._replay.spec
        return next((one.outputs.get(port, "") for one in (spec.vertices if spec is not None else []) if one.name == vertex), "")


def _images_in(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Images of a record: itself, or its fields."""
    if is_image(value):
        yield "", value
    elif isinstance(value, dict):
        yield from ((str(name), inner) for name, inner in value.items() if is_image(inner))


def _without_images(value: Any) -> Any:
    """An image stays as what it is, without its bytes: those are on a channel of their own."""
    if isinstance(value, dict):
        return {name: {**inner, "data": ""} if is_image(inner) else inner for name, inner in value.items()}
    return value
