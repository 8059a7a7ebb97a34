"""Boxes in records: the field `boxes`, a list of records with x, y, w and h."""

from __future__ import annotations

from typing import Any

from thalweg.errors import RejectedError
from thalweg.graph.types import FLOAT, INT, ListOf, Record, StreamType, format_type

BOXES = "boxes"
SIDES = ("x", "y", "w", "h")


def box_type(source: StreamType) -> tuple[Record, Record]:
    """The record that arrives, and the type of a box in it.

    Raises:
        RejectedError: `type.unsupported`, when it has no field `boxes: list[record{x, y, w, h}]`.
    """
    held: Any = dict(source.fields).get(BOXES) if isinstance(source, Record) else None
    box: Any = held.item if isinstance(held, ListOf) else None
    if (
        not isinstance(source, Record)
        or not isinstance(box, Record)
        or any(dict(box.fields).get(side) not in (INT, FLOAT) for side in SIDES)
    ):
        raise RejectedError(f"{format_type(source)} has no field boxes: list[record{{x, y, w, h}}] of numbers", code="type.unsupported")
    return source, box
