"""track: gives boxes that belong together over frames the same number."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, component
from thalweg.graph.types import INT, ListOf, Record, StreamType
from thalweg_components.boxes import BOXES, SIDES, box_type
from thalweg_components.names import check_names

In = TypeVar("In")
Out = TypeVar("Out")
Sides = tuple[float, float, float, float]


class Params(BaseModel):
    """What belongs together."""

    model_config = ConfigDict(extra="forbid")

    min_overlap: float = Field(0.3, gt=0, le=1, description="share of their union that two boxes must have in common")
    max_missed: int = Field(5, ge=0, le=10_000, description="frames in a row without a box after which a track has ended")
    max_tracks: int = Field(500, ge=1, le=5000, description="open tracks; of more, those that were seen last longest ago end")
    into: str = Field("track", description="field of a box that gets the track's number, from 1")


@dataclass
class Track:
    """One thing that is followed: where it was last, and for how many frames it has not been seen."""

    number: int
    sides: Sides
    label: str | None
    missed: int = 0


@dataclass
class State:
    """Open tracks in order of their numbers, and how many there have been."""

    tracks: list[Track] = field(default_factory=list)
    count: int = 0


@component("track", version="1.0.0")
class Tracker:
    """Follows boxes over frames: those of one thing get the same number.

    **Ports**: `in` takes records with a field `boxes: list[record{x, y, w, h}]`, one a frame, in order, as `motion` emits them;
    boxes may have a `label`. `out` emits exactly one record for each, with a field `track: int` in every box.

    **Params**: `min_overlap` (a box goes on a track where the two overlap in at least this share of their union; the largest overlaps
    first, of equal ones the older track), `max_missed` (frames in a row without a box after which a track has ended; a box
    that comes back later is a new thing), `max_tracks` (500), `into` (the field's name).

    **Labels**: a box goes only on a track of its own label. **Numbers** count from 1 and are never used again.

    **Faults**: an input without such boxes is rejected before it runs. A box without an area is on no track but its own.

    **Memory**: one box per open track.
    """

    params: Params
    state: State

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The input's type with a number in its boxes."""
        source, box = box_type(inputs["in"])
        fields = (*box.fields, (params.into, INT))
        check_names((name for name, _ in fields), "into")
        numbered = ListOf(Record(fields, box.name))
        return {"out": Record(tuple((name, numbered if name == BOXES else kind) for name, kind in source.fields), source.name)}

    def setup(self, context: Context) -> None:
        """Looks up the names of a box's fields."""
        _, box = box_type(context.input_type("in"))
        self._names = [name for name, _ in box.fields]
        self._class = context.record_class("out")

    def process(self, record: In) -> Out:  # type: ignore[type-var]  # what Out is, resolve_types says
        """The record with numbered boxes."""
        boxes: list[Any] = record.boxes  # type: ignore[attr-defined]
        numbers = self._follow([tuple(float(getattr(box, side)) for side in SIDES) for box in boxes], [_label(box) for box in boxes])  # type: ignore[misc]
        numbered = [
            {name: getattr(box, name) for name in self._names} | {self.params.into: number}
            for box, number in zip(boxes, numbers, strict=True)
        ]
        values = [numbered if name == BOXES else getattr(record, name) for name in self._class.__struct_fields__]
        return self._class(*values)  # type: ignore[no-any-return]

    def _follow(self, boxes: list[Sides], labels: list[str | None]) -> list[int]:
        """The number of each box; takes them into the tracks."""
        tracks = self.state.tracks
        found = match([(one.sides, one.label) for one in tracks], list(zip(boxes, labels, strict=True)), self.params.min_overlap)
        for place, track in enumerate(tracks):
            track.missed = 0 if place in found.values() else track.missed + 1
        numbers = []
        for index, (sides, label) in enumerate(zip(boxes, labels, strict=True)):
            if index in found:
                track = tracks[found[index]]
                track.sides = sides
            else:
                self.state.count += 1
                track = Track(self.state.count, sides, label)
                tracks.append(track)
            numbers.append(track.number)
        self.state.tracks = self._open(tracks)
        return numbers

    def _open(self, tracks: list[Track]) -> list[Track]:
        kept = [one for one in tracks if one.missed <= self.params.max_missed]
        newest = sorted(kept, key=lambda one: (one.missed, -one.number))[: self.params.max_tracks]
        return kept if len(newest) == len(kept) else sorted(newest, key=lambda one: one.number)


def match(tracks: list[tuple[Sides, str | None]], boxes: list[tuple[Sides, str | None]], min_overlap: float) -> dict[int, int]:
    """Index of a box -> index of its track. Pure; greedy, by overlap, then by track, then by box."""
    pairs = []
    for place, (before, was) in enumerate(tracks):
        for index, (now, label) in enumerate(boxes):
            share = overlap(before, now) if was == label else 0.0
            if share >= min_overlap:
                pairs.append((-share, place, index))
    found: dict[int, int] = {}
    taken: set[int] = set()
    for _, place, index in sorted(pairs):
        if index not in found and place not in taken:
            found[index] = place
            taken.add(place)
    return found


def overlap(one: Sides, other: Sides) -> float:
    """Area in common, as a share of the area of both together."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    common = max(0.0, width) * max(0.0, height)
    whole = one[2] * one[3] + other[2] * other[3] - common
    return common / whole if whole > 0 else 0.0


def _label(box: Any) -> str | None:
    label = getattr(box, "label", None)
    return label if isinstance(label, str) else None
