"""motion: boxes around what moves from frame to frame, and scene cuts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, component
from thalweg_components.frames import Frame

Gray = NDArray[np.uint8]


class Params(BaseModel):
    """How motion is told from noise."""

    model_config = ConfigDict(extra="forbid")

    method: Literal["difference", "background"] = Field("difference", description="against the previous frame, or a running mean")
    width: int = Field(320, ge=16, le=4096, description="frames are looked at in this width, pixels")
    threshold: int = Field(20, ge=1, le=255, description="difference of grey levels that counts as motion")
    min_area: float = Field(0.001, ge=0, le=1, description="smallest box, as a share of the frame")
    max_boxes: int = Field(16, ge=1, le=1000, description="at most so many boxes a frame, the largest first")
    learning_rate: float = Field(0.05, gt=0, le=1, description="background: weight of a new frame in the mean")
    cut: float = Field(0.15, gt=0, le=1, description="mean difference to the previous frame, of the full range, that is a scene cut")


@dataclass
class Box:
    """A box in pixels of the frame, from its upper left corner; score from 0 to 1 is the mean difference within it."""

    x: int
    y: int
    w: int
    h: int
    score: float


@dataclass
class Motion:
    """What moved in one frame."""

    index: int
    time: float
    boxes: list[Box]
    scene_cut: bool


@dataclass
class State:
    """The previous frame and the background, small and grey: bytes, so that they survive a restart exactly."""

    shape: list[int] = field(default_factory=list)
    previous: bytes = b""
    background: bytes = b""


@component("motion", version="1.0.0")
class MotionDetector:
    """Finds what moves: boxes around changed areas, and scene cuts.

    **Ports**: `in` takes frames `record{index: int, time: float, image: image}`. `out` emits exactly one
    `record{index, time, boxes: list[record{x: int, y: int, w: int, h: int, score: float}], scene_cut: bool}` per frame, so
    that it zips with the frames. Boxes are in pixels of the frame, largest first. The first frame and a frame after a cut
    have none.

    **Params**: `method` (`difference` to the previous frame, or to a `background` that is a running mean), `width`
    (pixels; frames are shrunk to it), `threshold` (grey levels), `min_area` (share of the frame), `max_boxes`,
    `learning_rate`, `cut` (share of the full range).

    **Faults**: an image that does not decode is a faulty record.

    OpenCV's MOG2 is not offered: its model cannot be saved, so that a restart would change the result.
    """

    params: Params
    state: State

    def process(self, frame: Frame, context: Context) -> Motion:
        """Compares the frame with what came before."""
        gray, scale = _small_gray(frame, self.params.width)
        previous, background = self._recall(gray)
        if previous is None or background is None:
            self._remember(gray, gray.astype(np.float32))
            return Motion(frame.index, frame.time, [], False)
        is_cut = float(cv2.absdiff(gray, previous).mean()) / 255 >= self.params.cut
        boxes = [] if is_cut else self._boxes(gray, previous, background, scale, frame.image.width, frame.image.height)
        if is_cut:
            background = gray.astype(np.float32)
        elif self.params.method == "background":
            cv2.accumulateWeighted(gray, background, self.params.learning_rate)
        self._remember(gray, background)
        return Motion(frame.index, frame.time, boxes, is_cut)

    def _recall(self, gray: Gray) -> tuple[Gray | None, NDArray[np.float32] | None]:
        if self.state.shape != list(gray.shape):
            return None, None
        previous = np.frombuffer(self.state.previous, np.uint8).reshape(gray.shape)
        if self.params.method == "difference":
            return previous, previous.astype(np.float32)
        return previous, np.frombuffer(self.state.background, np.float32).reshape(gray.shape).copy()

    def _remember(self, gray: Gray, background: NDArray[np.float32]) -> None:
        self.state.shape, self.state.previous = list(gray.shape), gray.tobytes()
        if self.params.method == "background":
            self.state.background = background.tobytes()

    def _boxes(self, gray: Gray, previous: Gray, background: NDArray[np.float32], scale: float, width: int, height: int) -> list[Box]:
        reference = previous if self.params.method == "difference" else np.asarray(np.rint(background), dtype=np.uint8)
        difference = cv2.absdiff(gray, reference)
        mask = cv2.threshold(difference, self.params.threshold, 255, cv2.THRESH_BINARY)[1]
        mask = cv2.dilate(mask, np.ones((5, 5), np.uint8), iterations=2)
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        found = []
        for label in range(1, count):
            x, y, w, h = (int(value) for value in stats[label][:4])
            if w * h >= self.params.min_area * gray.size:
                score = float(difference[y : y + h, x : x + w].mean()) / 255
                left, top = round(x * scale), round(y * scale)
                found.append(Box(left, top, min(round(w * scale), width - left), min(round(h * scale), height - top), round(score, 6)))
        found.sort(key=lambda box: (-box.w * box.h, box.y, box.x))
        return found[: self.params.max_boxes]


def _small_gray(frame: Frame, width: int) -> tuple[Gray, float]:
    """The frame in grey, shrunk to `width`, blurred; and how many of its pixels one pixel stands for."""
    pixels = frame.image.to_array()
    gray = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) if pixels.ndim == 3 else pixels
    scale = max(1.0, gray.shape[1] / width)
    if scale > 1:
        size = (width, max(1, round(gray.shape[0] / scale)))
        gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(gray, (5, 5), 0), dtype=np.uint8), scale
