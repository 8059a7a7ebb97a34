"""Images as the arrays that models take: size, layout, order of colours, scaling."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from thalweg import Image, RecordError
from thalweg.errors import RejectedError
from thalweg_components.model_inputs import Input

MAX_SIDE = 16_384
_CHANNELS = (1, 3)


class ImageInput(BaseModel):
    """How images become arrays."""

    model_config = ConfigDict(extra="forbid")

    width: int | None = Field(None, ge=1, le=MAX_SIDE, description="pixels; without it, the model's, or the image's own where that is free")
    height: int | None = Field(None, ge=1, le=MAX_SIDE, description="pixels; without it, the model's, or the image's own")
    resize: Literal["stretch", "fit", "crop"] = Field(
        "stretch", description="to that size: out of proportion; whole, with a border of `border`; or filled, what stands over cut off"
    )
    border: int = Field(0, ge=0, le=255, description="grey level of the border of `fit`")
    layout: Literal["nchw", "nhwc"] | None = Field(None, description="of the input; without it, by where its 1 or 3 channels are")
    colors: Literal["rgb", "bgr"] = Field("rgb", description="order of the channels")
    scale: float | None = Field(None, gt=0, le=1e6, description="pixels are multiplied by it; 1/255 for inputs of floats, else 1")
    mean: list[float] = Field([0.0], min_length=1, max_length=3, description="taken off after that, one for all channels or one for each")
    std: list[float] = Field([1.0], min_length=1, max_length=3, description="divided by at last, one for all channels or one for each")

    @model_validator(mode="after")
    def _check(self) -> ImageInput:
        if any(not one > 0 for one in self.std):
            raise ValueError("std is above 0")
        if 2 in (len(self.mean), len(self.std)):
            raise ValueError("mean and std have one number, or one for each of three channels")
        return self


class ImageArrays:
    """Turns images into arrays of one input.

    Args:
        given: the input, whose shape is three dimensions, some of them free.
        params: how.

    Raises:
        RejectedError: `params.invalid`, when the input cannot be images of that kind.
    """

    def __init__(self, given: Input, params: ImageInput) -> None:
        self._given, self._params = given, params
        shape = given.shape or (None, None, None)
        self._layout = params.layout or _layout_of(shape)
        if self._layout is None:
            raise _refusal(given, f"{shape} does not say where the channels are", "image: {layout: nchw} or {layout: nhwc}")
        channels, height, width = shape if self._layout == "nchw" else (shape[2], shape[0], shape[1])
        if channels not in (*_CHANNELS, None):
            raise _refusal(given, f"it has {channels} channels, and images have 1 or 3", None)
        self._channels = channels or 3
        self._width, self._height = _side(given, "width", params.width, width), _side(given, "height", params.height, height)
        self._is_float = np.issubdtype(np.dtype(given.dtype), np.floating)
        if not self._is_float and (params.scale is not None or params.mean != [0.0] or params.std != [1.0]):
            raise _refusal(given, f"it takes {given.dtype}, which cannot be scaled", "leave scale, mean and std out")
        if self._channels == 1 and 3 in (len(params.mean), len(params.std)):
            raise _refusal(given, "it has one channel, mean or std have three", None)

    def to_row(self, record: Any) -> NDArray[Any]:
        """The array of an image, bare or in its field."""
        image = getattr(record, self._given.fields[0]) if self._given.fields else record
        if not isinstance(image, Image):
            raise RecordError(f"there is no image for input {self._given.name!r} of the model")
        pixels = self._sized(self._coloured(image.to_array()))
        found = self._scaled(pixels.reshape(*pixels.shape[:2], self._channels))
        return np.ascontiguousarray(found.transpose(2, 0, 1) if self._layout == "nchw" else found)

    def _coloured(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        import cv2

        if self._channels == 1:
            return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) if pixels.ndim == 3 else pixels, dtype=np.uint8)
        coloured = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        return coloured[..., ::-1] if self._params.colors == "rgb" else coloured

    def _sized(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        have_height, have_width = pixels.shape[:2]
        width, height = self._width or have_width, self._height or have_height
        if (width, height) == (have_width, have_height):
            return pixels
        if self._params.resize == "stretch":
            return _resized(pixels, width, height)
        ratios = width / have_width, height / have_height
        ratio = min(ratios) if self._params.resize == "fit" else max(ratios)
        inner = _resized(pixels, max(1, round(have_width * ratio)), max(1, round(have_height * ratio)))
        if self._params.resize == "crop":
            top, left = (inner.shape[0] - height) // 2, (inner.shape[1] - width) // 2
            return inner[top : top + height, left : left + width]
        canvas = np.full((height, width, *inner.shape[2:]), self._params.border, np.uint8)
        top, left = (height - inner.shape[0]) // 2, (width - inner.shape[1]) // 2
        canvas[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
        return canvas

    def _scaled(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        if not self._is_float:
            return pixels.astype(self._given.dtype)
        scale = 1 / 255 if self._params.scale is None else self._params.scale
        mean, std = (np.array(one, np.float32) for one in (self._params.mean, self._params.std))
        return ((pixels.astype(np.float32) * np.float32(scale) - mean) / std).astype(self._given.dtype)


def _layout_of(shape: tuple[int | None, ...]) -> Literal["nchw", "nhwc"] | None:
    if shape[0] in _CHANNELS:
        return "nchw"
    return "nhwc" if shape[2] in _CHANNELS else None


def _side(given: Input, name: str, wanted: int | None, have: int | None) -> int | None:
    if None not in (wanted, have) and wanted != have:
        raise _refusal(given, f"its {name} is {have}, not {wanted}", f"leave image.{name} out")
    return wanted or have


def _refusal(given: Input, what: str, hint: str | None) -> RejectedError:
    return RejectedError(f"input {given.name!r} of the model: {what}", code="params.invalid", hint=hint)


def _resized(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    import cv2

    method = cv2.INTER_AREA if width < pixels.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=method), dtype=np.uint8)
