"""count-in-zone: how many boxes are in each zone of a frame."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from thalweg import Context, component
from thalweg.errors import RejectedError
from thalweg.graph.types import INT, STR, OptionalOf, Record, StreamType
from thalweg_components.boxes import box_type
from thalweg_components.names import check_names

In = TypeVar("In")
Out = TypeVar("Out")
Point = tuple[float, float]


class Params(BaseModel):
    """Where, and what is counted."""

    model_config = ConfigDict(extra="forbid")

    zones: dict[str, list[Point]] = Field(
        min_length=1, max_length=64, description="zone -> corners [x, y] of its polygon, pixels of the frame"
    )
    anchor: Literal["center", "bottom"] = Field(
        "center", description="point of a box that must be in the zone; bottom: middle of its lower side"
    )
    labels: list[str] | None = Field(None, min_length=1, max_length=1000, description="only boxes with one of these labels count")
    into: str = Field("counts", description="field that gets the counts")

    @field_validator("zones")
    @classmethod
    def _check_corners(cls, value: dict[str, list[Point]]) -> dict[str, list[Point]]:
        for zone, corners in value.items():
            if not 3 <= len(corners) <= 256:
                raise ValueError(f"{zone[:80]}: a zone has 3 to 256 corners")
            if not all(math.isfinite(one) and abs(one) <= 1e9 for corner in corners for one in corner):
                raise ValueError(f"{zone[:80]}: corners are numbers up to 1e9")
        return value


@component("count-in-zone", version="1.0.0")
class CountInZone:
    """Counts the boxes in each zone of a frame.

    **Ports**: `in` takes records with a field `boxes: list[record{x, y, w, h}]`, as `motion` and `track` emit them; boxes
    may have a `label`. `out` emits each record with a field `counts: record{zone: int, …}` behind its own.

    **Params**: `zones` (name: corners `[[x, y], …]` of a polygon, in pixels of the frame from its upper left corner; 3 to 256 corners, 64
    zones), `anchor` (`center` of the box, or `bottom`, the middle of its lower side, where people stand), `labels` (only boxes
    with one of these count), `into` (the field's name).

    **Edges**: zones that share a side count a point on it once. A polygon that crosses itself has its outside where an even number of
    its sides lies to one side of a point.

    **Faults**: an input without such boxes is rejected before it runs.
    """

    params: Params

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The input's fields, then the counts."""
        source, box = box_type(inputs["in"])
        if params.labels is not None and dict(box.fields).get("label") not in (STR, OptionalOf(STR)):
            raise RejectedError("labels: the boxes have no label: str", code="params.invalid", hint="leave labels out")
        check_names(params.zones, "zones")
        fields = (*source.fields, (params.into, Record(tuple((zone, INT) for zone in params.zones))))
        check_names((name for name, _ in fields), "into")
        return {"out": Record(fields)}

    def setup(self, context: Context) -> None:
        """Looks up the output's class."""
        self._class = context.record_class("out")
        self._labels = None if self.params.labels is None else frozenset(self.params.labels)
        self._share = 0.5 if self.params.anchor == "center" else 1.0

    def process(self, record: In) -> Out:  # type: ignore[type-var]  # what Out is, resolve_types says
        """The record with its counts."""
        found: Any = record
        anchors = [
            (box.x + box.w / 2, box.y + box.h * self._share) for box in found.boxes if self._labels is None or box.label in self._labels
        ]
        counts = {zone: sum(is_inside(point, corners) for point in anchors) for zone, corners in self.params.zones.items()}
        names = self._class.__struct_fields__[:-1]
        return self._class(*[getattr(record, name) for name in names], counts)  # type: ignore[no-any-return]


def is_inside(point: Point, corners: list[Point]) -> bool:
    """Whether a ray from the point to the right crosses an odd number of sides."""
    (x, y), inside = point, False
    for (x1, y1), (x2, y2) in zip(corners, [corners[-1], *corners[:-1]], strict=True):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
    return inside
