"""A rebuild: inputs are read again from a snapshot's floor, outputs suppressed, until the state is that of the last commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from thalweg.runtime.inputs import BEGINNING, Edge
from thalweg.runtime.standing import Standing
from thalweg.sdk.context import Context
from thalweg.wire.commit import Commit

Place = tuple[int, int]
_START = (1, 0)


class Rebuild:
    """Where a rebuild goes to. While it goes on, `standing.rebuilding` is set; without one it does nothing.

    Attributes:
        watermark: of the commit that it goes to.
    """

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._target: dict[str, Place] | None = None
        self._counters = standing.counters
        self.watermark = BEGINNING

    def begin(self, commit: Commit, edges: list[Edge], *, from_start: bool) -> None:
        """Places the edges where reading begins; a rebuild begins when that is before where the commit stood.

        Args:
            commit: the last one.
            edges: of the vertex.
            from_start: all inputs are read again; else those from the commit's floor.
        """
        target = {key: (pair[0], pair[1]) for key, pair in commit.positions.items()}
        floor: dict[str, Place] = {} if from_start else dict(commit.floor or target)
        for edge in edges:
            edge.position = floor.get(edge.key, _START)
        if any(edge.position != target.get(edge.key, _START) for edge in edges):
            self._target, self._counters = target, msgspec.structs.replace(commit.counters)
            self.watermark, self._standing.rebuilding = commit.watermark, True

    def is_reached(self, edges: list[Edge]) -> bool:
        """Whether one goes on, and every edge stands where the commit stood."""
        return self._target is not None and all(self.holds(edge) for edge in edges)

    def holds(self, edge: Edge) -> bool:
        """Whether an edge that is where it was committed waits for the others: what follows on it must not be suppressed."""
        if self._target is None:
            return False
        (sequence, skip), head = self._target.get(edge.key, _START), edge.head
        if edge.position >= (sequence, skip) or head is None or head.message.first != sequence:
            return edge.position >= (sequence, skip)
        return not head.left_before(skip)  # of a partition, whose own records lie among those of others

    def read(self, edges: list[Edge]) -> list[Edge]:
        """The edges that are read now: while a rebuild goes on, not those of which nothing had been read when the commit was made.

        They may have come with a redeploy since: what they bring follows all that is read again, and must not be waited for.
        """
        target = self._target
        return edges if target is None else [edge for edge in edges if target.get(edge.key, _START) != _START]

    def left(self, edge: Edge) -> int:
        """Records of an edge's first message that may be worked on: those up to the committed position."""
        head = edge.first
        if self._target is not None:
            sequence, skip = self._target.get(edge.key, _START)
            if sequence == head.message.first:
                return head.left_before(skip) or head.left
        return head.left

    @contextmanager
    def muting(self, context: Context) -> Iterator[None]:
        """Meanwhile, records go into the state alone: nothing comes of them, and none is counted. Not while a rebuild goes on."""
        counters, late, dropped = msgspec.structs.replace(self._standing.counters), context.late_count, context.dropped_count
        self._standing.rebuilding = True
        try:
            yield
        finally:
            self._standing.rebuilding, self._standing.counters = False, counters
            context.late_count, context.dropped_count, self._standing.touched = late, dropped, True

    def end(self, context: Context) -> None:
        """Ends it, reached or not; counts are those of the commit."""
        if self._target is not None:
            self._target, self._standing.rebuilding, self._standing.counters = None, False, self._counters
            context.late_count, context.dropped_count = self._counters.late, self._counters.dropped
