"""Turns pixels into image bytes and back; the only place that imports an image codec."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thalweg.sdk.values import Image


def encode(image_class: type[Image], array: NDArray[np.uint8], format: str, quality: int) -> Image:
    """See `Image.from_array`."""
    pixels = np.ascontiguousarray(array, dtype=np.uint8)
    height, width = pixels.shape[:2]
    if format == "jpeg":
        import simplejpeg

        colour = "GRAY" if pixels.ndim == 2 else "BGR"
        data = simplejpeg.encode_jpeg(pixels[..., None] if pixels.ndim == 2 else pixels, quality=quality, colorspace=colour)
    elif format == "png":
        import cv2

        data = cv2.imencode(".png", pixels)[1].tobytes()
    elif format in ("bgr8", "gray8"):
        data = pixels.tobytes()
    else:
        raise ValueError(f"image format {format!r} is none of jpeg, png, bgr8, gray8")
    return image_class(format=format, width=width, height=height, data=data)


def decode(image: Image) -> NDArray[np.uint8]:
    """See `Image.to_array`."""
    from thalweg.sdk.values import RecordError

    try:
        if image.format == "jpeg":
            import simplejpeg

            decoded: NDArray[np.uint8] = simplejpeg.decode_jpeg(image.data, colorspace="BGR")
            return decoded
        if image.format == "png":
            import cv2

            pixels = cv2.imdecode(np.frombuffer(image.data, np.uint8), cv2.IMREAD_COLOR)
            if pixels is None:
                raise ValueError("not a PNG")
            return pixels.astype(np.uint8, copy=False)
        shape = (image.height, image.width, 3) if image.format == "bgr8" else (image.height, image.width)
        return np.frombuffer(image.data, np.uint8).reshape(shape)
    except ValueError as error:
        raise RecordError(f"{image.format} image of {len(image.data)} bytes does not decode: {error}") from error
