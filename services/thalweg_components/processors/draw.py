"""draw: boxes and labels on frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import cv2
from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, Image, component
from thalweg.errors import RejectedError
from thalweg.graph.types import FLOAT, INT, ListOf, OptionalOf, Record, StreamType, format_type
from thalweg_components.frames import image_of, image_output, with_image

F = TypeVar("F")
D = TypeVar("D")
Out = TypeVar("Out")


class Params(BaseModel):
    """How it looks."""

    model_config = ConfigDict(extra="forbid")

    color: tuple[int, int, int] = Field((0, 255, 0), description="blue, green, red; 0 to 255 each")
    thickness: int = Field(2, ge=1, le=50, description="of lines, pixels")
    labels: bool = Field(True, description="write label and score at each box")
    quality: int = Field(90, ge=1, le=100, description="of the JPEG that is emitted")


@component("draw", version="1.0.0", combine="zip")
class Draw:
    """Draws boxes and labels on frames.

    **Ports**: `frames` takes images, or records with a field `image`; `detections` takes
    `record{boxes: list[record{x, y, w, h}]}`, whose boxes may also have `label: str` and `score: float`. They are zipped:
    the first frame goes with the first detections, and so on. `out` emits the frame as it was, with the boxes on its image.

    **Params**: `color` (blue, green, red), `thickness` (pixels), `labels`, `quality` (of JPEG, 1 to 100).

    **Faults**: an image that does not decode is a faulty record.
    """

    params: Params

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The frames' type, with a JPEG."""
        _check_detections(inputs["detections"])
        return {"out": image_output(inputs["frames"], "jpeg")}

    def process(self, frames: F, detections: D, context: Context) -> Out:  # type: ignore[type-var]  # what Out is, resolve_types says
        """Draws the boxes of one frame."""
        decoded = image_of(frames).to_array()
        pixels: Any = cv2.cvtColor(decoded, cv2.COLOR_GRAY2BGR) if decoded.ndim == 2 else decoded.copy()
        for box in detections.boxes:  # type: ignore[attr-defined]
            self._draw(pixels, box)
        return with_image(frames, Image.from_array(pixels, quality=self.params.quality), context)  # type: ignore[no-any-return]

    def _draw(self, pixels: Any, box: Any) -> None:
        x, y, w, h = (round(value) for value in (box.x, box.y, box.w, box.h))
        cv2.rectangle(pixels, (x, y), (x + w, y + h), self.params.color, self.params.thickness)
        text = _text(box)
        if self.params.labels and text:
            cv2.putText(pixels, text, (x, max(12, y - 4)), cv2.FONT_HERSHEY_SIMPLEX, 0.5, self.params.color, 1, cv2.LINE_AA)


def _text(box: Any) -> str:
    label, score = getattr(box, "label", None), getattr(box, "score", None)
    return " ".join(part for part in (label, None if score is None else f"{score:.2f}") if part)


def _check_detections(source: StreamType) -> None:
    boxes = dict(source.fields).get("boxes") if isinstance(source, Record) else None
    box = boxes.item if isinstance(boxes, ListOf) else None
    sides = dict(box.fields) if isinstance(box, Record) else {}
    if any(_base(sides.get(name)) not in (INT, FLOAT) for name in "xywh"):
        raise RejectedError(
            f"detections: {format_type(source)} has no boxes: list[record{{x, y, w, h}}] of numbers", code="type.unsupported"
        )


def _base(kind: StreamType | None) -> StreamType | None:
    return None if isinstance(kind, OptionalOf) else kind
