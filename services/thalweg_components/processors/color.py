"""color: changes the colours of images."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from pydantic import Field

from thalweg import component
from thalweg_components.image_operation import ImageOperation, ImageParams, Pixels


class Params(ImageParams):
    """What to do."""

    to: Literal["gray", "invert", "same"] = Field("same", description="gray: grey; invert: the negative")
    brightness: float = Field(0, ge=-255, le=255, description="added to every channel, after contrast")
    contrast: float = Field(1, ge=0, le=10, description="factor of every channel")


@component("color", version="1.0.0")
class Color(ImageOperation):
    """Changes the colours of images.

    **Ports**: `in` takes images, or records with a field `image`; `out` emits the same with the new image.

    **Params**: `to` (`gray`, `invert`, `same`), `brightness` (added, -255 to 255), `contrast` (factor),
    `format` (`jpeg`, `png`, `bgr8`, `gray8`), `quality` (of JPEG, 1 to 100).

    **Faults**: an image that does not decode is a faulty record.
    """

    params: Params

    def change(self, pixels: Pixels) -> Pixels:
        """The new pixels."""
        if self.params.to == "gray" and pixels.ndim == 3:
            pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
        elif self.params.to == "invert":
            pixels = 255 - pixels
        if self.params.brightness or self.params.contrast != 1:
            table = np.clip(np.arange(256) * self.params.contrast + self.params.brightness + 0.5, 0, 255).astype(np.uint8)
            pixels = np.asarray(cv2.LUT(pixels, table), dtype=np.uint8)
        return pixels
