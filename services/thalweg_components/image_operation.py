"""What image processors have in common: their ports, the format they emit, how they are applied to a record."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, Image
from thalweg.graph.types import StreamType
from thalweg_components.frames import Format, image_of, image_output, with_image

In = TypeVar("In")
Out = TypeVar("Out")
Pixels = NDArray[np.uint8]


class ImageParams(BaseModel):
    """How the image is emitted."""

    model_config = ConfigDict(extra="forbid")

    format: Format = Field("jpeg", description="of the image that is emitted; png and bgr8 are exact")
    quality: int = Field(90, ge=1, le=100, description="of JPEG")


class ImageOperation:
    """Base of components that turn the image of each record into another one; they say how in `change`."""

    params: ImageParams

    @classmethod
    def resolve_types(cls, params: ImageParams, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The input's type with its image in the format asked for."""
        return {"out": image_output(inputs["in"], params.format)}

    def process(self, record: In, context: Context) -> Out:  # type: ignore[type-var]  # what Out is, resolve_types says
        """The record with its new image."""
        changed = encoded(self.change(image_of(record).to_array()), self.params.format, self.params.quality)
        return with_image(record, changed, context)  # type: ignore[no-any-return]

    @abstractmethod
    def change(self, pixels: Pixels) -> Pixels:
        """The new pixels of an image: BGR or grey, uint8, as the old ones."""


def encoded(pixels: Pixels, image_format: Format, quality: int) -> Image:
    """Pixels, BGR or grey, as an image; grey ones get colours and coloured ones lose them where the format asks for it."""
    if image_format == "bgr8" and pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    if image_format == "gray8" and pixels.ndim == 3:
        import cv2

        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
    return Image.from_array(pixels, format=image_format, quality=quality)
