"""qr: reads QR codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, component
from thalweg_components.extras import needs
from thalweg_components.image_findings import ImageFindings, Pixels
from thalweg_components.outlines import Point, box_around, points

_LEAST_SIDE = 21  # modules of the smallest code


class Params(BaseModel):
    """What is told."""

    model_config = ConfigDict(extra="forbid")

    unread: bool = Field(False, description="also tell of codes that are seen and cannot be read, with an empty text")


@dataclass
class Code:
    """A code: its text, the box around it, its four corners in order around it, in pixels of the image."""

    text: str
    x: int
    y: int
    w: int
    h: int
    corners: list[Point]


@component("qr", version="1.0.0")
class Qr(ImageFindings):
    """Reads the QR codes in images.

    **Ports**: `in` takes images, or records with a field `image`. `out` emits one record each: the record's other fields, then
    `boxes: list[record{text: str, x: int, y: int, w: int, h: int, corners: list[record{x, y}]}]`, from top to bottom. Corners go
    around the code.

    **Params**: `unread` (also codes that are seen and cannot be read, with an empty text).

    **Faults**: an image that does not decode is a faulty record. A code whose content is no UTF-8 text cannot be read.
    """

    params: Params
    finds: ClassVar[dict[str, Any]] = {"boxes": list[Code]}

    def setup(self, context: Context) -> None:
        """Makes the reader."""
        with needs("video"):
            import cv2
        self._reader = cv2.QRCodeDetector()

    def look(self, pixels: Pixels) -> tuple[list[Code]]:
        """The codes."""
        if min(pixels.shape[:2]) < _LEAST_SIDE:
            return ([],)
        found = self._read(np.ascontiguousarray(pixels))
        codes = [_code(text, corners) for text, corners in found if text or self.params.unread]
        return (sorted(codes, key=lambda code: (code.y, code.x, code.text)),)

    def _read(self, pixels: Pixels) -> list[tuple[str, Any]]:
        is_one, corners = self._reader.detectMulti(pixels)
        return [(self._text(pixels, one), one) for one in corners] if is_one else []

    def _text(self, pixels: Pixels, corners: Any) -> str:
        import cv2

        try:
            return str(self._reader.decode(pixels, corners[None])[0])
        except (UnicodeDecodeError, cv2.error):
            return ""


def _code(text: str, corners: Any) -> Code:
    return Code(text, *box_around(corners), points(corners))
