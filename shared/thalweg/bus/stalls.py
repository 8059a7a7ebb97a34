"""Decides from a deployment log alone whether a graph has run into itself: a vertex waits for what can never be written.

A zip of a source with a filtered branch of it is the usual case: the zip waits for the branch and reads no further, so the source's
subject fills up; the branch has read all there is, and the source can write no more.
"""

from __future__ import annotations

from dataclasses import dataclass

from thalweg.bus.heads import StoredMessage, latest_commits
from thalweg.bus.writer import chunk_count
from thalweg.wire import subjects
from thalweg.wire.commit import Failure
from thalweg.wire.readers import needs_of
from thalweg.wire.spec import DeploymentSpec, EdgeSpec, VertexSpec, has_ended


@dataclass(frozen=True, slots=True)
class Stall:
    """A graph that cannot go on.

    Attributes:
        vertex: which waits.
        empty: the edge that brings it nothing.
        full: the edge that is full meanwhile.
    """

    vertex: str
    empty: str
    full: str

    def failure(self) -> Failure:
        """What the vertex's last commit is to say."""
        return Failure(
            f"{self.vertex}: waits for {self.empty} for ever: nothing more can come there, as {self.full} is full",
            "graph.stalled",
            f"{self.empty} drops or holds back records: combine by latest or event-time instead of zip, or do not filter it",
        )


def find_stall(spec: DeploymentSpec, heads: list[StoredMessage], counts: dict[str, int]) -> Stall | None:
    """A vertex that waits in vain, or None while anything may still move.

    It looks for the largest set of vertices that wait for each other only. A vertex that is slow, dead or has an input from
    outside is in no such set: it has something to read, or room to write.

    Args:
        spec: the deployment.
        heads: the last message of each subject; nothing may have been written since, nor while they were read.
        counts: messages by subject.
    """
    return _Facts(spec, heads, counts).find()


class _Facts:
    def __init__(self, spec: DeploymentSpec, heads: list[StoredMessage], counts: dict[str, int]) -> None:
        self._spec, self._counts, self._commits = spec, counts, latest_commits(heads)
        self._first = {head.subject: head.sequence - chunk_count(head) + 1 for head in heads}
        self._vertices = {one.name: one for one in spec.vertices}
        self._stuck = {name for name in self._vertices if name in self._commits and not self._has_ended(name)}

    def find(self) -> Stall | None:
        while free := {name for name in self._stuck if not self._waits_for_stuck(self._vertices[name])}:
            self._stuck -= free
        for name in sorted(self._stuck):
            vertex, empty = self._vertices[name], self._commits[name].waits_for
            full = next((edge for edge in vertex.inputs if edge.key != empty and self._is_held(edge.src_vertex, edge.src_port, name)), None)
            if empty is not None and full is not None:
                return Stall(name, empty, full.key)
        return None

    def _waits_for_stuck(self, vertex: VertexSpec) -> bool:
        """Whether a vertex can move only after another of the set has."""
        return self._is_blocked(vertex) or self._is_kept_waiting(vertex) or self._is_starved(vertex)

    def _is_blocked(self, vertex: VertexSpec) -> bool:
        """A subject that it writes is full, and who holds it is stuck. A commit writes all ports or none."""
        return any(self._is_held(vertex.name, port, name) for port in vertex.outputs for name in self._stuck)

    def _is_held(self, vertex: str, port: str, reader: str) -> bool:
        """Whether a subject is full, and this reader, with none before it, keeps it from being trimmed."""
        subject = subjects.port(self._spec.workspace, self._spec.name, vertex, port)
        if self._counts.get(subject, 0) < self._spec.max_messages_per_subject:
            return False
        needs = needs_of(self._spec, self._commits, vertex, port)
        return reader in needs and needs[reader] == min(needs.values())

    def _is_kept_waiting(self, vertex: VertexSpec) -> bool:
        """It says which edge it waits for, has read that whole, and who writes it is stuck."""
        waits_for = self._commits[vertex.name].waits_for
        return any(edge.key == waits_for and edge.src_vertex in self._stuck and self._is_read(vertex, edge) for edge in vertex.inputs)

    def _is_starved(self, vertex: VertexSpec) -> bool:
        """It has worked on all that was written to it, and nobody is left to write more but stuck ones."""
        writers = {edge.src_vertex for edge in vertex.inputs}
        if not writers & self._stuck or any(one not in self._stuck and not self._has_ended(one) for one in writers):
            return False
        written = sum(self._records(edge) for edge in vertex.inputs)
        return self._commits[vertex.name].counters.records_in == written and all(self._is_read(vertex, edge) for edge in vertex.inputs)

    def _is_read(self, vertex: VertexSpec, edge: EdgeSpec) -> bool:
        """Whether the vertex has come to the last message of an edge."""
        return self._commits[vertex.name].positions.get(edge.key, (0, 0))[0] >= self._first.get(self._subject(edge), 0)

    def _records(self, edge: EdgeSpec) -> int:
        commit = self._commits.get(edge.src_vertex)
        return commit.ports[edge.src_port].count if commit is not None and edge.src_port in commit.ports else 0

    def _has_ended(self, vertex: str) -> bool:
        commit = self._commits.get(vertex)
        return commit is not None and (commit.ended or (vertex in self._vertices and has_ended(self._vertices[vertex], commit)))

    def _subject(self, edge: EdgeSpec) -> str:
        return subjects.port(self._spec.workspace, self._spec.name, edge.src_vertex, edge.src_port)
