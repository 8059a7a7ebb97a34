"""detect-faces: boxes around faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, InputFile, RecordError, component
from thalweg.errors import RejectedError
from thalweg_components.extras import needs
from thalweg_components.image_findings import ImageFindings, Pixels
from thalweg_components.outlines import Point, points

_LEAST_SIDE = 8  # pixels; in smaller images the network has no cells left


class Params(BaseModel):
    """What counts as a face."""

    model_config = ConfigDict(extra="forbid")

    min_score: float = Field(0.7, ge=0, le=1, description="of the network, for a face")
    max_overlap: float = Field(0.3, ge=0, le=1, description="share of their union that two faces may have in common")
    width: int = Field(640, ge=32, le=4096, description="wider images are shrunk to it, pixels: smaller is faster, and misses small faces")
    max_faces: int = Field(100, ge=1, le=1000, description="at most so many an image, the surest first")


@dataclass
class Face:
    """A box in pixels of the image, the score from 0 to 1; eyes, nose and corners of the mouth, the person's right ones first."""

    x: int
    y: int
    w: int
    h: int
    score: float
    landmarks: list[Point]


@component("detect-faces", version="1.0.0")
class DetectFaces(ImageFindings):
    """Finds faces, and where their eyes, noses and mouths are.

    **Ports**: `in` takes images, or records with a field `image`. `out` emits one record each, so that it zips with the images: the
    record's other fields, then `boxes: list[record{x: int, y: int, w: int, h: int, score: float, landmarks: list[record{x, y}]}]`, the
    surest first; `draw`, `track` and `count-in-zone` take them. Landmarks are right eye, left eye, nose, right and left corner of the
    mouth, as the person has them.

    **Files**: `model` (onnx): a YuNet of OpenCV's model zoo, `face_detection_yunet_2023mar.onnx`.

    **Params**: `min_score` (0 to 1), `max_overlap` (0 to 1, of boxes of one face), `width` (pixels that wider images are shrunk to),
    `max_faces`.

    **Determinism**: the same on processors of one kind; others may differ in the last digits.

    **Faults**: a model that is no YuNet stops it at the start; an image that does not decode is a faulty record.
    """

    params: Params
    model: Annotated[InputFile, "onnx"]
    finds: ClassVar[dict[str, Any]] = {"boxes": list[Face]}

    def setup(self, context: Context) -> None:
        """Loads the model, and tries it: what it is good for shows only then."""
        with needs("video"):
            import cv2
        log = cv2.utils.logging
        level = log.setLogLevel(log.LOG_LEVEL_ERROR)  # OpenCV 5 warns of every network that it cannot choose a processor for it
        try:
            self._detector = cv2.FaceDetectorYN.create(str(self.model.path), "", (320, 320), self.params.min_score, self.params.max_overlap)
            self._detector.detect(np.zeros((320, 320, 3), np.uint8))
        except cv2.error as error:
            hint = "face_detection_yunet_2023mar.onnx of OpenCV's model zoo is one"
            raise RejectedError("model: it is no YuNet that OpenCV can use", code="file.invalid", hint=hint) from error
        finally:
            log.setLogLevel(level)

    def look(self, pixels: Pixels) -> tuple[list[Face]]:
        """The faces."""
        import cv2

        height, width = pixels.shape[:2]
        if min(height, width) < _LEAST_SIDE:
            return ([],)
        coloured = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR) if pixels.ndim == 2 else pixels
        scale = max(1.0, width / self.params.width)
        size = round(width / scale), max(_LEAST_SIDE, round(height / scale))
        small = cv2.resize(coloured, size, interpolation=cv2.INTER_AREA) if scale > 1 else coloured
        self._detector.setInputSize(small.shape[1::-1])
        try:
            found = self._detector.detect(np.ascontiguousarray(small))[1]
        except cv2.error as error:
            raise RecordError(f"an image of {width} x {height} pixels cannot be looked at") from error
        faces = [] if found is None else sorted(found.tolist(), key=lambda row: (-row[14], row[1], row[0]))
        return ([_face(row, scale, width, height) for row in faces[: self.params.max_faces]],)


def _face(row: list[float], scale: float, width: int, height: int) -> Face:
    left, top = max(0, round(row[0] * scale)), max(0, round(row[1] * scale))
    right, bottom = min(width, round((row[0] + row[2]) * scale)), min(height, round((row[1] + row[3]) * scale))
    marks = points(np.array(row[4:14]).reshape(5, 2) * scale)
    return Face(left, top, max(0, right - left), max(0, bottom - top), round(row[14], 4), marks)
