"""The order in which another run took the records of several inputs, followed record by record."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence

from thalweg.runtime.inputs import Edge

FIRST, LAST = -1, 2**63 - 1  # behind no record, and behind all of them
_START = (1, 0)


class _Track:
    """The records of one edge as that run took them: their ids, and the places in the whole order, which go in stretches.

    Attributes:
        seen: index of the record that the edge last had at its head; -1 before the first, None where that is not known.
    """

    def __init__(self) -> None:
        self.ids = array("Q")
        self._starts, self._places = array("Q"), array("q")
        self._by_id: dict[int, int] | None = None
        self.seen: int | None = -1

    def add(self, ids: Iterable[int], place: int) -> None:
        if not self._starts or self._places[-1] + len(self.ids) - self._starts[-1] != place:
            self._starts.append(len(self.ids))
            self._places.append(place)
        self.ids.extend(ids)

    def place_of(self, record_id: int) -> int:
        """Where a record is in the order; one that the run did not have goes with the one before it."""
        at = self._find(record_id)
        if at is not None:
            self.seen = at
        return FIRST if self.seen is None or self.seen < 0 else self._place(self.seen)

    def next_place(self) -> int:
        """No record of that run which is still to come has a lower one."""
        if self.seen is None:
            return FIRST
        return self._place(self.seen + 1) if self.seen + 1 < len(self.ids) else LAST

    def _place(self, index: int) -> int:
        stretch = bisect_right(self._starts, index) - 1
        return self._places[stretch] + index - self._starts[stretch]

    def _find(self, record_id: int) -> int | None:
        """Most often it is the same as before or the next one; all are looked up where it is not."""
        if self.seen is not None:
            for index in range(max(self.seen, 0), min(self.seen + 2, len(self.ids))):
                if self.ids[index] == record_id:
                    return index
        if self._by_id is None:
            self._by_id = {one: index for index, one in enumerate(self.ids)}
        return self._by_id.get(record_id)


class RecordedOrder:
    """Chooses among edges as another run did.

    It waits for a silent edge whose next record of that run comes first. A record that the run did not have comes right behind the one
    before it on its edge; one that it had and that does not come is passed over as soon as its edge brings a later one, or ends.

    Args:
        edges: their keys.
    """

    def __init__(self, edges: Sequence[str]) -> None:
        self._tracks = {key: _Track() for key in edges}
        self._count = 0

    def add(self, edge: str, ids: Sequence[int]) -> None:
        """Says what that run took next."""
        self._tracks[edge].add(ids, self._count)
        self._count += len(ids)

    def begin(self, edges: Iterable[Edge]) -> None:
        """Reading begins at the edges' positions; where they are not at their start, what came before is found by the first record."""
        for edge in edges:
            self._tracks[edge.key].seen = -1 if edge.position == _START else None

    def choose(self, edges: list[Edge]) -> Edge | None:
        """The edge whose record is next; None where that is still to arrive."""
        first = self._first(edges)
        return first if first is not None and first.head else None

    def awaited(self, edges: list[Edge]) -> Edge | None:
        """The silent edge that keeps the records of others waiting."""
        first = self._first(edges)
        return first if first is not None and not first.head else None

    def _first(self, edges: list[Edge]) -> Edge | None:
        found, lowest = None, (LAST, True, 0)
        for edge in edges:
            track = self._tracks[edge.key]
            if edge.head:
                rank = track.place_of(edge.head.ids[edge.head.index]), False, edge.order
            elif edge.ended:
                continue
            else:
                rank = track.next_place(), True, edge.order
            if rank < lowest:
                found, lowest = edge, rank
        return found
