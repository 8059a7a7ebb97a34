"""Dead letters that are given again to their vertex: one more inlet, beside the order of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from thalweg.runtime.faults import Faults
from thalweg.runtime.inputs import Edge
from thalweg.runtime.program import Program
from thalweg.runtime.rebuild import Rebuild
from thalweg.runtime.standing import Standing
from thalweg.sdk.values import RecordError
from thalweg.wire.dead_letters import AGAIN_KEY, Again

_START = (1, 0)
Call = Callable[[Edge, Any, "Edge"], Iterable[Any]]
Attempt = Callable[..., bool]


class Redoing:
    """Works on dead letters that come again, before anything else: they are few, and somebody waits for them.

    They are behind the watermark, and move neither it nor the count of records that the vertex was given. A failure is one of that record.

    Args:
        program: the component.
        edges: the vertex's others.
        faults, standing, rebuild: of the vertex.
        attempt: works on one record, as `Processing.attempt`.
        call: what the component makes of a record of an edge.

    Attributes:
        edge: by which they come.
        is_news: since it was last unset, one was worked on: the state is not that of the other inputs alone.
    """

    def __init__(
        self, program: Program, edges: list[Edge], faults: Faults, standing: Standing, rebuild: Rebuild, attempt: Attempt, call: Call
    ) -> None:
        self.edge = Edge(AGAIN_KEY, "", 0, Again)
        self.is_news = False
        self._edges, self._faults, self._standing, self._rebuild = edges, faults, standing, rebuild
        self._attempt, self._call = attempt, call

    @property
    def is_wanted(self) -> bool:
        """Whether any may come: the vertex keeps records aside, or has done so."""
        return self._faults.keeps_aside or self._faults.dead_commits > 0 or self.edge.position != _START

    @property
    def position(self) -> dict[str, tuple[int, int]]:
        """How far it is, by edge; nothing where none has ever come."""
        return {} if self.edge.position == _START else {self.edge.key: self.edge.position}

    def do_one(self) -> int:
        """Works on the next one; how many that are, 0 when there is none."""
        edge = self.edge
        if edge.head is None or self._rebuild.holds(edge):
            return 0
        head = edge.first
        item: Again = head.batch.v[head.index]
        if item.port:
            self._redo(item, head.batch.t[head.index], head.ids[head.index], head.roots[head.index])
        if not self._standing.rebuilding:
            self._faults.dead_commits = max(0, self._faults.dead_commits - item.closed)
            self._standing.counters.given_up += item.dropped
            self._standing.counters.redriven += bool(item.port)
        edge.take(1)
        self.is_news = self._standing.touched = True
        return 1

    def _redo(self, item: Again, time_ns: int, record_id: int, root: int) -> None:
        into = next((one for one in self._edges if one.port == item.port), None)
        value: Any = msgspec.Raw(item.value)
        fault: Exception | None = None
        if into is None:
            fault = RecordError(f"it came by port {item.port}, which has no edge any more")
        else:
            try:
                value = msgspec.msgpack.decode(item.value, type=into.value_type)
            except msgspec.DecodeError as error:
                fault = RecordError(f"it is not of the type of port {item.port} now: {error}")

        def results() -> Iterable[Any]:
            if fault is not None or into is None:
                raise fault or RecordError("no edge")
            return self._call(into, value, self.edge)

        self._attempt(item.port, time_ns, record_id, root, self._standing.watermark, value, results, "given again")
