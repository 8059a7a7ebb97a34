"""Values as people outside send and read them: msgpack or JSON, of a stream type, or refused with the path and the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from thalweg.graph import types as st
from thalweg.sdk.canonical import canonical
from thalweg.sdk.records import python_type
from thalweg.sdk.values import Audio, Image, RecordError

_encode, _encode_json = msgspec.msgpack.Encoder().encode, msgspec.json.Encoder().encode
_PIXEL_BYTES = {"bgr8": 3, "gray8": 1}


class MisfitError(RecordError):
    """A value from outside is not of the type that it is to have.

    Args:
        reason: why.
        path: where in it, as in `$.orders[0].count`; `$` is the whole.
        stream_type: what it is to be.
    """

    def __init__(self, reason: str, path: str, stream_type: st.StreamType) -> None:
        super().__init__(f"not {st.format_type(stream_type)}: at {path}: {reason}")
        self.code = "record.misfit"
        self.reason, self.path = reason, path


class UnreadableError(RecordError):
    """What came is no JSON, or no msgpack, at all."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = "body.unreadable"


def unpacker(stream_type: st.StreamType) -> Callable[[bytes], Any]:
    """A function that makes a value of a type out of msgpack bytes.

    Raises (the returned function):
        MisfitError, UnreadableError: they are none.
    """
    return Outside(stream_type).unpack


class Outside:
    """Values of one type, on their way in or out.

    Args:
        stream_type: of all of them.
    """

    def __init__(self, stream_type: st.StreamType) -> None:
        self.stream_type = stream_type
        self._kind, self._settle = python_type(stream_type), canonical(stream_type)
        self._packed, self._json = msgspec.msgpack.Decoder(self._kind), msgspec.json.Decoder(self._kind)
        self._has_media = has_media(stream_type)

    def unpack(self, data: bytes) -> Any:
        """The value in msgpack bytes. Raises as `unpacker` says."""
        return self._checked(lambda: self._packed.decode(data), "msgpack")

    def from_msgpack(self, data: bytes) -> bytes:
        """Canonical msgpack of a value that came as msgpack. Raises as `unpacker` says."""
        return self._pack(self.unpack(data))

    def from_json(self, data: bytes) -> bytes:
        """Canonical msgpack of a value that came as JSON: bytes as base64, times as RFC 3339. Raises as `unpacker` says."""
        return self._pack(self._checked(lambda: self._json.decode(data), "JSON"))

    def from_value(self, value: Any) -> bytes:
        """Canonical msgpack of a Python value. Raises as `unpacker` says."""
        return self._pack(self._checked(lambda: msgspec.convert(value, self._kind, from_attributes=True), "a value"))

    def to_json(self, data: bytes) -> bytes:
        """JSON of a value that is canonical msgpack; one that left before a redeploy may be of another type."""
        try:
            return _encode_json(self._packed.decode(data))
        except msgspec.ValidationError:
            return _encode_json(msgspec.msgpack.decode(data))

    def _pack(self, value: Any) -> bytes:
        try:
            return _encode(value if self._settle is None else self._settle(value))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise MisfitError(str(error), "$", self.stream_type) from error

    def _checked(self, read: Callable[[], Any], what: str) -> Any:
        try:
            value = read()
        except msgspec.ValidationError as error:
            reason, _, path = str(error).partition(" - at `")
            raise MisfitError(reason, path.removesuffix("`") or "$", self.stream_type) from error
        except (msgspec.DecodeError, ValueError, TypeError, RecursionError, OverflowError) as error:
            raise UnreadableError(f"this is not {what}: {error}") from error
        if self._has_media and (fault := media_fault(value, self.stream_type, "$")) is not None:
            raise MisfitError(*fault, self.stream_type)
        return value


def has_media(kind: st.StreamType) -> bool:
    """Whether there are images or audio in a type."""
    match kind:
        case st.ImageType() | st.AudioType():
            return True
        case st.ListOf(item) | st.MapOf(item) | st.OptionalOf(item):
            return has_media(item)
        case st.Record(fields) | st.TableOf(fields):
            return any(has_media(one) for _, one in fields)
        case st.TupleOf(items) | st.UnionOf(items):
            return any(map(has_media, items))
    return False


def media_fault(value: Any, kind: st.StreamType, path: str) -> tuple[str, str] | None:
    """What is wrong with an image or a piece of audio in a value, and where; types alone do not say all that they must be."""
    match kind:
        case st.ImageType(form) if isinstance(value, Image):
            return _image_fault(value, form, path)
        case st.AudioType(rate, channels) if isinstance(value, Audio):
            return _audio_fault(value, rate, channels, path)
        case st.OptionalOf(item) if value is not None:
            return media_fault(value, item, path)
        case st.ListOf(item):
            faults = (media_fault(one, item, f"{path}[{index}]") for index, one in enumerate(value))
        case st.MapOf(item):
            faults = (media_fault(one, item, f"{path}[...]") for one in value.values())
        case st.Record(fields):
            faults = (media_fault(getattr(value, name, None), one, f"{path}.{name}") for name, one in fields)
        case _:
            return None
    return next((one for one in faults if one is not None), None)


def _image_fault(image: Image, form: str | None, path: str) -> tuple[str, str] | None:
    if form is not None and image.format != form:
        return f"Expected an image of format {form}, got {image.format}", f"{path}.format"
    if image.width < 1 or image.height < 1:
        return f"{image.width} x {image.height} is no size", path
    per_pixel = _PIXEL_BYTES.get(image.format)
    if per_pixel is not None and len(image.data) != image.width * image.height * per_pixel:
        return f"{len(image.data):,} bytes are not {image.width} x {image.height} pixels of {image.format}", f"{path}.data"
    return None


def _audio_fault(audio: Audio, rate: int | None, channels: int | None, path: str) -> tuple[str, str] | None:
    if audio.rate != (rate or audio.rate) or audio.rate < 1:
        return f"Expected a rate of {rate or 'more than 0'}, got {audio.rate}", f"{path}.rate"
    if audio.channels != (channels or audio.channels) or audio.channels < 1:
        return f"Expected {channels or 'more than 0'} channels, got {audio.channels}", f"{path}.channels"
    if audio.format == "pcm16" and len(audio.data) % (2 * audio.channels):
        return f"{len(audio.data):,} bytes are no whole number of samples", f"{path}.data"
    return None
