"""Boxes: counted in zones, and followed over frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from thalweg import RejectedError
from thalweg.graph.types import format_type
from thalweg_components.processors.count_in_zone import is_inside
from thalweg_components.processors.track import match, overlap

Drive = Callable[..., Any]
KIND = "record{index: int, boxes: list[record{x: int, y: int, w: int, h: int, label: str}]}"
SQUARE = [[0, 0], [10, 0], [10, 10], [0, 10]]


def frame(index: int, *boxes: tuple[int, int, int, int, str]) -> dict[str, Any]:
    return {"index": index, "boxes": [dict(zip(("x", "y", "w", "h", "label"), box, strict=True)) for box in boxes]}


def numbers(found: Any) -> list[list[int]]:
    return [[box["track"] if isinstance(box, dict) else box.track for box in one.boxes] for one in found.out]


def test_boxes_are_counted_by_their_anchor_and_label(drive: Drive) -> None:
    frames = [frame(0, (0, 0, 4, 4, "car"), (8, 8, 4, 4, "man"), (2, 6, 2, 8, "man")), frame(1)]
    zones = {"gate": SQUARE, "far": [[100, 100], [200, 100], [150, 200]]}

    def counts(**params: Any) -> list[tuple[int, int]]:
        found = drive("count-in-zone", frames, types={"in": KIND}, params={"zones": zones} | params)
        assert format_type(found.types["out"]) == KIND[:-1] + ", counts: record{gate: int, far: int}}"
        return [(one.counts["gate"], one.counts["far"]) for one in found.out]

    assert counts() == [(1, 0), (0, 0)]
    assert counts(anchor="bottom", labels=["man"]) == [(0, 0), (0, 0)]
    frames[0]["boxes"][1]["x"] = 7
    frames[0]["boxes"][1]["y"] = 7
    assert counts() == [(2, 0), (0, 0)]
    assert counts(labels=["man"]) == [(1, 0), (0, 0)]


def test_zones_that_share_a_side_count_a_point_on_it_once() -> None:
    left, right = [(0.0, 0.0), (5.0, 0.0), (5.0, 5.0), (0.0, 5.0)], [(5.0, 0.0), (9.0, 0.0), (9.0, 5.0), (5.0, 5.0)]
    assert is_inside((5.0, 2.0), left) + is_inside((5.0, 2.0), right) == 1
    hollow = [(0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (5.0, 9.0), (5.0, 3.0), (4.0, 3.0), (4.0, 9.0), (0.0, 9.0)]
    assert (is_inside((4.5, 5.0), hollow), is_inside((4.5, 1.0), hollow), is_inside((1.0, 5.0), hollow)) == (False, True, True)


@pytest.mark.parametrize("zones", [{}, {"z": [[0, 0], [1, 1]]}, {"z": [[0, 0], [1, 1], [1, "inf"]]}, {"z": [[0, 0, 0]] * 3}])
def test_zones_that_are_no_polygons_are_refused(drive: Drive, zones: Any) -> None:
    with pytest.raises(ValidationError):
        drive("count-in-zone", types={"in": KIND}, params={"zones": zones})


def test_what_has_no_boxes_or_labels_is_rejected(drive: Drive) -> None:
    for kind in ("int", "record{boxes: list[int]}", "record{boxes: list[record{x: int, y: int, w: int}]}"):
        with pytest.raises(RejectedError, match="has no field boxes"):
            drive("count-in-zone", types={"in": kind}, params={"zones": {"z": SQUARE}})
        with pytest.raises(RejectedError, match="has no field boxes"):
            drive("track", types={"in": kind})
    bare = "record{boxes: list[record{x: int, y: int, w: int, h: int}]}"
    with pytest.raises(RejectedError, match="labels: the boxes have no label"):
        drive("count-in-zone", types={"in": bare}, params={"zones": {"z": SQUARE}, "labels": ["a"]})
    with pytest.raises(RejectedError, match="'h' would be there twice"):
        drive("track", types={"in": bare}, params={"into": "h"})


@pytest.mark.parametrize("restart_at", [None, 1, 3, 5])
def test_boxes_keep_their_number_over_frames(drive: Drive, restart_at: int | None) -> None:
    frames = [
        frame(0, (0, 0, 10, 10, "car"), (50, 50, 10, 10, "car")),
        frame(1, (52, 50, 10, 10, "car"), (2, 0, 10, 10, "car")),
        frame(2, (4, 0, 10, 10, "man")),
        frame(3),
        frame(4, (54, 50, 10, 10, "car"), (4, 0, 10, 10, "car"), (0, 0, 0, 0, "car")),
    ]
    found = drive("track", frames, types={"in": KIND}, params={"max_missed": 2}, restart_at=restart_at)
    assert format_type(found.types["out"]) == KIND[:-3] + ", track: int}]}"
    assert numbers(found) == [[1, 2], [2, 1], [3], [], [2, 1, 4]]
    assert numbers(drive("track", frames, types={"in": KIND}, params={"max_missed": 1}))[-1] == [4, 5, 6]


def test_the_largest_overlap_goes_first_and_of_equal_ones_the_older_track() -> None:
    here, there = (0.0, 0.0, 10.0, 10.0), (4.0, 0.0, 10.0, 10.0)
    assert match([(here, None), (there, None)], [((3.0, 0.0, 10.0, 10.0), None)], 0.3) == {0: 1}
    assert match([(here, None), (here, None)], [(here, None), (here, None)], 0.3) == {0: 0, 1: 1}
    assert match([(here, "a")], [(here, "b")], 0.3) == {}
    assert (overlap(here, here), overlap(here, (10.0, 0.0, 5.0, 5.0)), overlap((0, 0, 0, 0), (0, 0, 0, 0))) == (1.0, 0.0, 0.0)


def test_of_too_many_tracks_those_end_that_were_not_seen_for_longest(drive: Drive) -> None:
    frames = [frame(0, (0, 0, 9, 9, "a")), frame(1, (50, 0, 9, 9, "a")), frame(2, (0, 0, 9, 9, "a"), (50, 0, 9, 9, "a"))]
    assert numbers(drive("track", frames, types={"in": KIND}, params={"max_tracks": 1})) == [[1], [2], [3, 2]]
