"""What every image processor has in common: the format it emits, and how it is applied to a record."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, Image
from thalweg_components.frames import Format, image_of, with_image

Pixels = NDArray[np.uint8]


class ImageParams(BaseModel):
    """How the image is emitted."""

    model_config = ConfigDict(extra="forbid")

    format: Format = Field("jpeg", description="of the image that is emitted; png and bgr8 are exact")
    quality: int = Field(90, ge=1, le=100, description="of JPEG")


def replaced(record: Any, pixels: Any, params: ImageParams, context: Context) -> Any:
    """The record with other pixels: BGR or grey, uint8."""
    wanted = np.asarray(pixels, dtype=np.uint8)
    if params.format == "bgr8" and wanted.ndim == 2:
        wanted = np.repeat(wanted[..., None], 3, axis=2)
    if params.format == "gray8" and wanted.ndim == 3:
        import cv2

        wanted = np.asarray(cv2.cvtColor(wanted, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
    return with_image(record, Image.from_array(wanted, format=params.format, quality=params.quality), context)


def pixels_of(record: Any) -> Pixels:
    """Pixels of the record's image: BGR, or grey."""
    return image_of(record).to_array()
