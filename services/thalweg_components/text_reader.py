"""Reads text in images, by RapidOCR and the models in its package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from thalweg import RecordError
from thalweg_components.extras import needs
from thalweg_components.onnx_session import MAX_THREADS
from thalweg_components.outlines import Point, box_around, points

_FEWEST_PIXELS = 8  # of a side


class ReaderParams(BaseModel):
    """What counts as text."""

    model_config = ConfigDict(extra="forbid")

    min_score: float = Field(0.5, ge=0, le=1, description="of a line that counts")
    size: int = Field(
        960, ge=32, le=4096, description="pixels of the longer side in which lines are looked for; the text itself is read in full"
    )
    upside_down: bool = Field(False, description="lines may stand on their heads: each is looked at for that first")
    threads: int = Field(1, ge=1, le=MAX_THREADS, description="that the models run on")


@dataclass
class Line:
    """A line of text, the box around it and its corners in pixels of the image, from the upper left of the text on clockwise."""

    text: str
    score: float
    x: int
    y: int
    w: int
    h: int
    corners: list[Point]


class TextReader:
    """Finds lines of text, and reads them.

    Raises:
        RejectedError: RapidOCR is not installed (`component.no_library`).
    """

    def __init__(self, params: ReaderParams) -> None:
        with needs("ocr"):
            import onnxruntime  # noqa: F401  # it asks for it much later, in words of its own
            from rapidocr import RapidOCR
        engine = "EngineConfig.onnxruntime"
        self._reader = RapidOCR(
            params={
                f"{engine}.intra_op_num_threads": params.threads,
                f"{engine}.inter_op_num_threads": 1,
                "Global.text_score": params.min_score,
                "Global.use_cls": params.upside_down,
                "Global.log_level": "critical",
                "Global.max_side_len": 65_536,  # it would shrink the text too
                "Det.limit_type": "max",
                "Det.limit_side_len": params.size,
            }
        )

    def lines(self, pixels: NDArray[np.uint8]) -> list[Line]:
        """The lines, from top to bottom. Raises RecordError when the models fail."""
        if min(pixels.shape[:2]) < _FEWEST_PIXELS:
            return []
        try:
            found: Any = self._reader(pixels)
        except Exception as error:  # of four libraries
            raise RecordError(f"an image of {pixels.shape[1]} x {pixels.shape[0]} pixels cannot be read: {str(error)[:200]}") from error
        if found.boxes is None or found.txts is None:
            return []
        return [
            Line(text, round(float(score), 4), *box_around(corners), points(corners))
            for corners, text, score in zip(found.boxes, found.txts, found.scores, strict=True)
        ]


def joined(lines: list[Line]) -> str:
    """Their texts, one a line."""
    return "\n".join(one.text for one in lines)
