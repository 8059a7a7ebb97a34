"""Counts what vertices say to have written within a stretch of a log, also where they start in its middle or go back."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from thalweg.replay.completeness import records_in
from thalweg.replay.format import Entry, decode_headers
from thalweg.wire.commit import HEADER, Commit, decode_commit
from thalweg.wire.subjects import parse_port

Port = tuple[str, str]


@dataclass(slots=True)
class _Vertex:
    """One vertex so far.

    Attributes:
        commit: the commit that its newest message belongs to, with the records of it by port.
        counts: by port, as of the commit before; None where there was none.
        carried: records in a body whose end has not come yet.
    """

    commit: Commit | None = None
    records: Counter[str] = field(default_factory=Counter)
    counts: dict[str, int] | None = None
    rewound: int = 0
    carried: Counter[str] = field(default_factory=Counter)


class Said:
    """Adds up by how much the counts of each port rise from commit to commit.

    Args:
        is_window: the log does not begin at its beginning, so that the first commit of a vertex says nothing of what came before it.
    """

    def __init__(self, *, is_window: bool) -> None:
        self._is_window = is_window
        self._vertices: dict[str, _Vertex] = {}
        self._written: Counter[Port] = Counter()

    def add(self, entry: Entry) -> None:
        """Takes one message; they come in the order of the log."""
        place = parse_port(entry.subject)
        if place is None:
            return
        vertex = self._vertices.setdefault(place[0], _Vertex())
        vertex.carried[place[1]] += records_in(entry)
        text = decode_headers(entry.headers).headers.get(HEADER)
        if text is None:
            return
        commit = decode_commit(text)
        if vertex.commit is not None and (vertex.commit.epoch, vertex.commit.number) != (commit.epoch, commit.number):
            self._settle(place[0], vertex)
        vertex.commit = commit
        vertex.records += vertex.carried
        vertex.carried = Counter()

    def written(self) -> dict[Port, int]:
        """Records by port, as the commits so far say it."""
        for name, vertex in self._vertices.items():
            self._settle(name, vertex)
        return dict(self._written)

    def _settle(self, name: str, vertex: _Vertex) -> None:
        """Counts a commit of which all bodies are there."""
        commit = vertex.commit
        if commit is None:
            return
        now = {port: one.count for port, one in commit.ports.items()}
        before = vertex.counts
        if before is None:
            before = {port: count - vertex.records[port] for port, count in now.items()} if self._is_window else {}
        elif commit.rewound != vertex.rewound:
            before = now  # its claim has taken an earlier count up again
        for port, count in now.items():
            self._written[name, port] += max(0, count - before.get(port, 0))
        vertex.counts, vertex.rewound, vertex.commit, vertex.records = now, commit.rewound, None, Counter()
