"""Components between an input and an output endpoint: they split, drop and refuse."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import thalweg
from thalweg import Image


@dataclass
class Order:
    """How many pieces, of which each is to say who ordered them."""

    who: int
    pieces: int


@dataclass
class Piece:
    """One of them."""

    who: int
    piece: int


@thalweg.component("split", version="1.0.0")
def split(order: Order) -> Iterator[Piece]:
    """As many pieces as were ordered; one that orders fewer than none is a fault."""
    if order.pieces < 0:
        raise ValueError(f"{order.pieces} pieces")
    for number in range(order.pieces):
        yield Piece(order.who, number)


@thalweg.component("even", version="1.0.0")
def even(piece: Piece) -> Piece | None:
    """Every other piece."""
    return piece if piece.piece % 2 == 0 else None


@thalweg.component("mirror", version="1.0.0")
def mirror(image: Image) -> Image:
    """The image, left for right."""
    return Image.from_array(image.to_array()[:, ::-1].copy(), "png")


@dataclass
class Reading:
    """What a slow step takes."""

    n: int
    x: float


@thalweg.component("slow", version="1.0.0")
def slow(reading: Reading) -> Reading:
    """Takes its time."""
    time.sleep(0.2)
    return reading
