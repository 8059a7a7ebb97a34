"""color: changes the colours of images."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

import cv2
import numpy as np
from pydantic import Field

from thalweg import Context, component
from thalweg.graph.types import StreamType
from thalweg_components.frames import image_output
from thalweg_components.image_operation import ImageParams, pixels_of, replaced

In = TypeVar("In")
Out = TypeVar("Out")


class Params(ImageParams):
    """What to do."""

    to: Literal["gray", "invert", "same"] = Field("same", description="gray: grey; invert: the negative")
    brightness: float = Field(0, ge=-255, le=255, description="added to every channel, after contrast")
    contrast: float = Field(1, ge=0, le=10, description="factor of every channel")


@component("color", version="1.0.0")
class Color:
    """Changes the colours of images.

    **Ports**: `in` takes images, or records with a field `image`; `out` emits the same with the new image.

    **Params**: `to` (`gray`, `invert`, `same`), `brightness` (added, -255 to 255), `contrast` (factor),
    `format` (`jpeg`, `png`, `bgr8`, `gray8`), `quality` (of JPEG, 1 to 100).

    **Faults**: an image that does not decode is a faulty record.
    """

    params: Params

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The input's type with its image in the format asked for."""
        return {"out": image_output(inputs["in"], params.format)}

    def process(self, record: In, context: Context) -> Out:  # type: ignore[type-var]  # what Out is, resolve_types says
        """The record with its new image."""
        pixels = pixels_of(record)
        if self.params.to == "gray" and pixels.ndim == 3:
            pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
        elif self.params.to == "invert":
            pixels = 255 - pixels
        if self.params.brightness or self.params.contrast != 1:
            table = np.clip(np.arange(256) * self.params.contrast + self.params.brightness + 0.5, 0, 255).astype(np.uint8)
            pixels = np.asarray(cv2.LUT(pixels, table), dtype=np.uint8)
        return replaced(record, pixels, self.params, context)  # type: ignore[no-any-return]
