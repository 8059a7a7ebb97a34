"""Records as readers want them: JSON, msgpack, JPEG or PNG, WAV or bare samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from thalweg.errors import ThalwegError
from thalweg.graph import types as st
from thalweg.sdk.outside import Outside, UnreadableError
from thalweg.sdk.values import Audio, Image
from thalweg_gateway.media import image_as, wav_of
from thalweg_gateway.refusals import RequestError

CONTENT_TYPES = {
    "json": "application/json",
    "msgpack": "application/msgpack",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
_BY_TYPE = {kind: name for name, kind in CONTENT_TYPES.items()} | {"audio/x-wav": "wav", "application/x-msgpack": "msgpack"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A record in the form that was asked for."""

    content_type: str
    body: bytes
    is_text: bool = False


def format_of(asked: str | None, accept: str, kind: st.StreamType) -> str:
    """The form of records: as `format=` says, else as the first type in `Accept` that is known, else as suits the type best.

    Raises:
        RequestError: `request.invalid`, there is no such form, or not for this type.
    """
    if asked is None:
        accepted = (one.partition(";")[0].strip().lower() for one in accept.split(","))
        asked = next((_BY_TYPE[one] for one in accepted if one in _BY_TYPE), None)
    suiting = _suiting(kind)
    if asked is None:
        return suiting[0]
    if asked not in suiting:
        what = f"records of {st.format_type(kind)} cannot be shown as {asked[:40]}"
        raise RequestError(what, code="request.invalid", hint=f"there are {', '.join(suiting)}")
    return asked


def _suiting(kind: st.StreamType) -> tuple[str, ...]:
    match kind:
        case st.ImageType("png"):
            return ("png", "jpeg", "json", "msgpack")
        case st.ImageType():
            return ("jpeg", "png", "json", "msgpack")
        case st.AudioType():
            return ("wav", "pcm", "json", "msgpack")
    return ("json", "msgpack")


def show(data: bytes, outside: Outside, form: str) -> Shown:
    """A record, given as canonical msgpack, in a form that `format_of` has given.

    Raises:
        ThalwegError: its image or audio cannot be shown like that.
    """
    content_type = CONTENT_TYPES[form]
    if form == "msgpack":
        return Shown(content_type, data)
    if form == "json":
        return Shown(content_type, outside.to_json(data), is_text=True)
    value: Any = outside.unpack(data)
    if isinstance(value, Image):
        return Shown(content_type, image_as(value, form))
    if isinstance(value, Audio) and form == "wav":
        return Shown(content_type, wav_of(value))
    if isinstance(value, Audio):
        return Shown(f"audio/pcm;rate={value.rate};channels={value.channels}", value.data)
    raise UnreadableError(f"this record cannot be shown as {form}")


def natural(data: bytes, outside: Outside) -> Shown:
    """A record as itself: an image or audio as such, anything else as JSON."""
    try:
        value: Any = outside.unpack(data)
        if isinstance(value, Image):
            form = value.format if value.format in ("jpeg", "png") else "png"
            return Shown(CONTENT_TYPES[form], image_as(value, form))
        if isinstance(value, Audio):
            return Shown(CONTENT_TYPES["wav"], wav_of(value))
    except ThalwegError:
        pass  # as JSON it can always be shown
    return Shown(CONTENT_TYPES["json"], outside.to_json(data), is_text=True)


def json_list(records: list[bytes], outside: Outside) -> bytes:
    """Several records as one JSON array."""
    return msgspec.json.encode([msgspec.Raw(outside.to_json(one)) for one in records])
