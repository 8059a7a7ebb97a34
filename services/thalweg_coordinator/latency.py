"""How far a vertex is behind in time, decided from the heads of the deployment's log."""

from __future__ import annotations

from thalweg.bus.heads import StoredMessage
from thalweg.bus.writer import chunk_count
from thalweg.wire import subjects
from thalweg.wire.commit import Commit
from thalweg.wire.spec import DeploymentSpec, VertexSpec

Place = tuple[str, int]  # a subject, and the sequence from which on it is looked at


def newest_head(vertex: str, heads: list[StoredMessage]) -> StoredMessage | None:
    """The message that has a vertex's newest commit."""
    mine = [one for one in heads if one.commit is not None and (place := subjects.parse_port(one.subject)) and place[0] == vertex]
    return max(mine, key=lambda one: one.commit.number if one.commit is not None else 0, default=None)


def plan_waiting(spec: DeploymentSpec, heads: list[StoredMessage]) -> dict[str, list[Place]]:
    """By vertex that has not ended: where its oldest waiting records are, one place for each edge that has any.

    A message that a vertex has read in part counts as read: its age is told once the next one waits.
    """
    found: dict[str, list[Place]] = {}
    for vertex in spec.vertices:
        newest = newest_head(vertex.name, heads)
        commit = newest.commit if newest is not None else None
        if vertex.inputs and not vertex.retired and not (commit is not None and commit.ended):
            found[vertex.name] = _behind(spec, vertex, commit, heads)
    return found


def latency_s(vertex: VertexSpec, heads: list[StoredMessage]) -> float | None:
    """From the newest input that a vertex has taken being stored to that being committed.

    None for a source, for a vertex that has not read any edge to its end, and where the newest commit has another cause than input.
    """
    newest = newest_head(vertex.name, heads)
    if newest is None or newest.commit is None or newest.commit.claim or newest.commit.waits_for is not None or newest.commit.ended:
        return None
    commit = newest.commit
    taken = [
        head.time_ns
        for edge in vertex.inputs
        for head in heads
        if subjects.parse_port(head.subject) == (edge.src_vertex, edge.src_port)
        and _first(head) == commit.positions.get(edge.key, (0, 0))[0]
    ]
    return max(0.0, (newest.time_ns - max(taken)) / 1e9) if taken else None


def _behind(spec: DeploymentSpec, vertex: VertexSpec, commit: Commit | None, heads: list[StoredMessage]) -> list[Place]:
    last = {one.subject: _first(one) for one in heads}
    found: list[Place] = []
    for edge in vertex.inputs:
        subject = subjects.port(spec.workspace, spec.name, edge.src_vertex, edge.src_port)
        sequence, skip = commit.positions.get(edge.key, (1, 0)) if commit is not None else (1, 0)
        if last.get(subject, 0) >= sequence + (skip > 0):
            found.append((subject, sequence + (skip > 0)))
    return found


def _first(head: StoredMessage) -> int:
    """Sequence of the first piece of a message."""
    return head.sequence - chunk_count(head) + 1
