"""resize: makes images of another size."""

from __future__ import annotations

import cv2
import numpy as np
from pydantic import Field

from thalweg import component
from thalweg_components.image_operation import ImageOperation, ImageParams, Pixels


class Params(ImageParams):
    """What to do."""

    width: int | None = Field(None, ge=1, le=16384, description="pixels; without it, by the height in proportion")
    height: int | None = Field(None, ge=1, le=16384, description="pixels; without it, by the width in proportion")


@component("resize", version="1.0.0")
class Resize(ImageOperation):
    """Makes images of another size.

    **Ports**: `in` takes images, or records with a field `image`; `out` emits the same with the new image.

    **Params**: `width`, `height` (pixels; one alone keeps the proportion, none keeps the size),
    `format` (`jpeg`, `png`, `bgr8`, `gray8`), `quality` (of JPEG, 1 to 100).

    **Faults**: an image that does not decode is a faulty record.
    """

    params: Params

    def change(self, pixels: Pixels) -> Pixels:
        """The new pixels."""
        height, width = pixels.shape[:2]
        new_width, new_height = _size(self.params, width, height)
        method = cv2.INTER_AREA if new_width < width else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(pixels, (new_width, new_height), interpolation=method), dtype=np.uint8)
        return pixels


def _size(params: Params, width: int, height: int) -> tuple[int, int]:
    new_width = params.width or (width if params.height is None else max(1, round(width * params.height / height)))
    return new_width, params.height or max(1, round(height * new_width / width))
