"""crop: cuts a rectangle out of images."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import Field

from thalweg import Context, RecordError, component
from thalweg.graph.types import StreamType
from thalweg_components.frames import image_output
from thalweg_components.image_operation import ImageParams, pixels_of, replaced

In = TypeVar("In")
Out = TypeVar("Out")


class Params(ImageParams):
    """What to do."""

    x: int = Field(0, ge=0, description="left column, pixels")
    y: int = Field(0, ge=0, description="top row, pixels")
    width: int = Field(ge=1, description="pixels")
    height: int = Field(ge=1, description="pixels")


@component("crop", version="1.0.0")
class Crop:
    """Cuts a rectangle out of images.

    **Ports**: `in` takes images, or records with a field `image`; `out` emits the same with the new image.

    **Params**: `x`, `y`, `width`, `height` (pixels, from the upper left corner),
    `format` (`jpeg`, `png`, `bgr8`, `gray8`), `quality` (of JPEG, 1 to 100).

    **Faults**: an image that does not decode or is smaller than the rectangle is a faulty record.
    """

    params: Params

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The input's type with its image in the format asked for."""
        return {"out": image_output(inputs["in"], params.format)}

    def process(self, record: In, context: Context) -> Out:  # type: ignore[type-var]  # what Out is, resolve_types says
        """The record with its new image."""
        pixels = pixels_of(record)
        x, y, width, height = self.params.x, self.params.y, self.params.width, self.params.height
        if x + width > pixels.shape[1] or y + height > pixels.shape[0]:
            raise RecordError(f"{width} x {height} at ({x}, {y}) is outside of an image of {pixels.shape[1]} x {pixels.shape[0]}")
        pixels = pixels[y : y + height, x : x + width]
        return replaced(record, pixels, self.params, context)  # type: ignore[no-any-return]
