"""crop: cuts a rectangle out of images."""

from __future__ import annotations

from pydantic import Field

from thalweg import RecordError, component
from thalweg_components.image_operation import ImageOperation, ImageParams, Pixels


class Params(ImageParams):
    """What to do."""

    x: int = Field(0, ge=0, description="left column, pixels")
    y: int = Field(0, ge=0, description="top row, pixels")
    width: int = Field(ge=1, description="pixels")
    height: int = Field(ge=1, description="pixels")


@component("crop", version="1.0.0")
class Crop(ImageOperation):
    """Cuts a rectangle out of images.

    **Ports**: `in` takes images, or records with a field `image`; `out` emits the same with the new image.

    **Params**: `x`, `y`, `width`, `height` (pixels, from the upper left corner),
    `format` (`jpeg`, `png`, `bgr8`, `gray8`), `quality` (of JPEG, 1 to 100).

    **Faults**: an image that does not decode or is smaller than the rectangle is a faulty record.
    """

    params: Params

    def change(self, pixels: Pixels) -> Pixels:
        """The new pixels."""
        x, y, width, height = self.params.x, self.params.y, self.params.width, self.params.height
        if x + width > pixels.shape[1] or y + height > pixels.shape[0]:
            raise RecordError(f"{width} x {height} at ({x}, {y}) is outside of an image of {pixels.shape[1]} x {pixels.shape[0]}")
        pixels = pixels[y : y + height, x : x + width]
        return pixels
