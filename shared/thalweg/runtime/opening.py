"""The opening of a source: recorded records that it puts out before it goes on by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from thalweg.sdk.values import At, Emit

Opening = Callable[[int], Iterator[tuple[str, Any, int | None]]]
"""Port, value and event time of each recorded record, but the first so many."""
_MARK = "_opening"


def opened(opening: Opening, own: Callable[[Any], Iterator[Any]], cursor: Any) -> Iterator[Any]:
    """Records of the opening, then those of the source itself, from behind a cursor.

    A source is asked for its first record only when the recorded ones are out. One without cursors is run over them as well when it
    is made again, as over its own.

    Args:
        opening: the recorded records.
        own: the source's own records from behind one of its cursors.
        cursor: of either; None for the start.
    """
    count = cursor[1] if is_of_opening(cursor) else 0
    if cursor is not None and not count:
        yield from own(cursor)
        return
    for number, (port, value, time_ns) in enumerate(opening(count), count + 1):
        yield At(value if port == "out" else Emit(value, port=port), [_MARK, number], time_ns)
    yield from own(None)


def is_of_opening(cursor: Any) -> bool:
    """Whether a cursor is none of the source's own."""
    return isinstance(cursor, list) and len(cursor) == 2 and cursor[0] == _MARK
