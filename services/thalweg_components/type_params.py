"""Params that are stream types."""

from __future__ import annotations

from thalweg.errors import RejectedError
from thalweg.graph.accept import is_generic
from thalweg.graph.parse import parse_type
from thalweg.graph.types import StreamType

MAX_TYPE = 65_536  # characters


def concrete_type(text: str) -> StreamType:
    """The stream type that a param spells.

    Raises:
        ValueError: it is none, or has a name in it that stands for any type.
    """
    try:
        found = parse_type(text)
    except RejectedError as error:
        raise ValueError(str(error)) from error
    if is_generic(found):
        raise ValueError(f"{text[:80]!r} is no stream type")
    return found
