"""What image components share: the frame record, and images inside records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from thalweg import Context, Image
from thalweg.errors import RejectedError
from thalweg.graph.types import ImageType, Record, StreamType, format_type

Format = Literal["jpeg", "png", "bgr8", "gray8"]


@dataclass
class Frame:
    """A frame of a video: `index` from 0, `time` in seconds from its start."""

    index: int
    time: float
    image: Image


def image_output(source: StreamType, image_format: str) -> StreamType:
    """The input's type with its image in another format: of a bare image, or of the field `image` of a record.

    Raises:
        RejectedError: `type.unsupported`, when there is no image.
    """
    if isinstance(source, ImageType):
        return ImageType(image_format)
    if isinstance(source, Record) and isinstance(dict(source.fields).get("image"), ImageType):
        return Record(tuple((name, ImageType(image_format) if name == "image" else kind) for name, kind in source.fields), source.name)
    raise RejectedError(f"{format_type(source)} is no image, nor a record with a field image: image", code="type.unsupported")


def image_of(record: Any) -> Image:
    """The image itself, or that in the field `image`."""
    found = record if isinstance(record, Image) else record.image
    if not isinstance(found, Image):
        raise TypeError(f"{type(found).__name__} is no image")
    return found


def with_image(record: Any, image: Image, context: Context) -> Any:
    """The record with another image, as the output's own class; a bare image is just replaced."""
    if isinstance(record, Image):
        return image
    record_class = context.record_class("out")
    return record_class(*(image if name == "image" else getattr(record, name) for name in record_class.__struct_fields__))
