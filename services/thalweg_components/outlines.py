"""Outlines of things in images: four corners, and the upright box around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass
class Point:
    """A place in pixels of the image."""

    x: float
    y: float


def points(corners: NDArray[np.floating]) -> list[Point]:
    """Corners to a tenth of a pixel."""
    return [Point(round(float(x), 1), round(float(y), 1)) for x, y in corners]


def box_around(corners: NDArray[np.floating]) -> tuple[int, int, int, int]:
    """x, y, w, h of the smallest box of whole pixels that holds them."""
    low, high = np.floor(corners.min(axis=0)).astype(int), np.ceil(corners.max(axis=0)).astype(int)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])
