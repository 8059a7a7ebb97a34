"""Values of a declared type out of the bytes that come from outside."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from thalweg import Image, RecordError
from thalweg.graph.types import BYTES, INT, STR, TIMESTAMP, ImageType, OptionalOf, Record, StreamType, format_type
from thalweg.sdk.outside import media_fault
from thalweg.sdk.records import python_type
from thalweg_components.times import event_time_ns

_MAX_SHOWN = 200
_IMAGE_FORMATS = {b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png"}


class Payloads:
    """Reads payloads of one type: `bytes` as they are, `str` as UTF-8, `image` as a JPEG or PNG file, all else as JSON.

    Args:
        kind: what each payload holds.
    """

    def __init__(self, kind: StreamType) -> None:
        self._kind, self._read = kind, _reader(kind)

    def read(self, payload: bytes) -> Any:
        """The value. Raises RecordError where the payload is not what it is to be."""
        try:
            return self._read(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError) as error:
            raise RecordError(f"not {format_type(self._kind)[:_MAX_SHOWN]}: {str(error)[:_MAX_SHOWN]}") from None


def time_of(value: Any, field: str | None, arrived_ns: int) -> int:
    """Event time of a value: what a field of it says, else when it arrived. Raises RecordError where the field has no time."""
    return arrived_ns if field is None else event_time_ns(getattr(value, field))


def check_time_field(kind: StreamType, field: str | None, param: str = "time_field") -> None:
    """Raises ValueError where the field that a param names cannot hold the event time."""
    held = dict(kind.fields).get(field or "") if isinstance(kind, Record) else None
    if field is not None and (held.item if isinstance(held, OptionalOf) else held) not in (TIMESTAMP, INT):
        raise ValueError(f"{param}: {format_type(kind)[:_MAX_SHOWN]} has no field {field} that is a timestamp, or an int of ns")


def _reader(kind: StreamType) -> Any:
    if kind == BYTES:
        return bytes
    if kind == STR:
        return lambda payload: payload.decode()
    if isinstance(kind, ImageType):
        return lambda payload: _image(kind, payload)
    decode: Any = msgspec.json.Decoder(python_type(kind)).decode
    return decode


def _image(kind: ImageType, data: bytes) -> Image:
    """The size is found by decoding: a picture that does not decode is none."""
    form = next((name for start, name in _IMAGE_FORMATS.items() if data.startswith(start)), None)
    if form is None:
        raise RecordError("neither a JPEG nor a PNG image")
    height, width = Image(format=form, width=1, height=1, data=data).to_array().shape[:2]
    image = Image(format=form, width=width, height=height, data=data)
    if (fault := media_fault(image, kind, "$")) is not None:
        raise RecordError(fault[0])
    return image


def payload_of(value: Any) -> bytes:
    """A value as bytes for the outside: bytes and text as they are, an image as its file, all else as JSON."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, Image):
        return (value if value.format in ("jpeg", "png") else Image.from_array(value.to_array())).data
    return msgspec.json.encode(value)


def now_ns() -> int:
    """When something arrived: what comes from outside has the time of the clock, as its place in order is nothing else."""
    return time.time_ns()
