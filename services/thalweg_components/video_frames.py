"""Frames of decoded video as images."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from thalweg import Image

_FULL_RANGE = 2  # AVCOL_RANGE_JPEG; everything else in a yuv420p video is 16..235
_LUMA = np.clip((np.arange(256) - 16) * 255 / 219 + 0.5, 0, 255).astype(np.uint8)
_CHROMA = np.clip((np.arange(256) - 128) * 255 / 224 + 128.5, 0, 255).astype(np.uint8)


def image_of_frame(frame: Any, image_format: str, quality: int) -> Image:
    """A frame of PyAV as `jpeg` of a quality of 1 to 100, or as `bgr8`."""
    if image_format == "jpeg" and frame.format.name in ("yuv420p", "yuvj420p"):
        full = frame.format.name == "yuvj420p" or frame.color_range == _FULL_RANGE
        planes = [_plane(plane, None if full else table) for plane, table in zip(frame.planes, (_LUMA, _CHROMA, _CHROMA), strict=True)]
        data = simplejpeg.encode_jpeg_yuv_planes(*planes, quality=quality)
        return Image(format="jpeg", width=frame.width, height=frame.height, data=data)
    return Image.from_array(frame.to_ndarray(format="bgr24"), format=image_format, quality=quality)


def scaled(frame: Any, width: int | None, height: int | None) -> Any:
    """The frame at another size; where only one side is given, the other keeps its ratio."""
    if width is None and height is None:
        return frame
    wide = width if width is not None else max(1, round(frame.width * (height or 1) / frame.height))
    high = height if height is not None else max(1, round(frame.height * wide / frame.width))
    return frame if (wide, high) == (frame.width, frame.height) else frame.reformat(width=wide, height=high)


def _plane(plane: Any, table: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """A plane without padding, stretched to full range: JPEG has no other."""
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
    return np.ascontiguousarray(rows) if table is None else np.asarray(cv2.LUT(rows, table), dtype=np.uint8)
