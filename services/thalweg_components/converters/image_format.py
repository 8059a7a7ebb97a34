"""image-format: encodes images in another format."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from thalweg import Context, component
from thalweg.graph.types import ImageType, StreamType
from thalweg_components.frames import image_of, image_output, with_image
from thalweg_components.image_operation import encoded
from thalweg_components.type_params import concrete_type

In = TypeVar("In")
Out = TypeVar("Out")
FORMATS = ("jpeg", "png", "bgr8", "gray8")


class Params(BaseModel):
    """What is wanted."""

    model_config = ConfigDict(extra="forbid")

    to: str = Field(max_length=64, description="`image<jpeg>`, `image<png>`, `image<bgr8>` or `image<gray8>`")
    quality: int = Field(90, ge=1, le=100, description="of JPEG")

    @field_validator("to")
    @classmethod
    def _is_image(cls, text: str) -> str:
        kind = concrete_type(text)
        if not isinstance(kind, ImageType) or kind.format not in FORMATS:
            raise ValueError(f"{text!r} is not image<{'>, image<'.join(FORMATS)}>")
        return text

    @property
    def format(self) -> str:
        """Its name alone."""
        kind: Any = concrete_type(self.to)
        return str(kind.format)


@component("image-format", version="1.0.0", converter=True)
class ImageFormat:
    """Encodes images in another format.

    **Ports**: `in` takes images, or records with a field `image`; `out` emits the same with the image in its new format. One that has
    the format already passes through, byte for byte.

    **Params**: `to` (`image<jpeg>`, `image<png>`, `image<bgr8>` or `image<gray8>`), `quality` (of JPEG, 1 to 100). PNG and the raw
    formats are exact; `gray8` drops colours.

    **Faults**: an image that does not decode is a faulty record.
    """

    params: Params

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The input's type with its image in the format."""
        return {"out": image_output(inputs["in"], params.format)}

    def setup(self, context: Context) -> None:
        """Looks up the format."""
        self._format: Any = self.params.format

    def process(self, record: In, context: Context) -> Out:  # type: ignore[type-var]  # what Out is, resolve_types says
        """The record with its image in the format."""
        image = image_of(record)
        if image.format != self._format:
            image = encoded(image.to_array(), self._format, self.params.quality)
        return with_image(record, image, context)  # type: ignore[no-any-return]
