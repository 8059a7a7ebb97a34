"""What was observed of a deployment, and what follows from it by itself: who reads what, how far, since when. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from thalweg.wire import subjects
from thalweg.wire.commit import Commit
from thalweg.wire.partitions import records_taken
from thalweg.wire.readers import needs_of, readers_of
from thalweg.wire.spec import DeploymentSpec, EdgeSpec, VertexSpec, is_failed

_NONE = Commit(epoch=0, number=0)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long may pass before it counts.

    Attributes:
        idle_s: without anything written, until a vertex is idle.
        start_s: since the deployment, until a vertex that has said nothing should have.
    """

    idle_s: float = 5.0
    start_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One record of the log.

    Attributes:
        edge: by which it came; of a dead letter, "".
        sequence, index: its message, and its place in it; 0 and 0 where that is not known.
        time_ns: event time; None where that is not known.
        value: as JSON values, cut to a size that people read.
        error: why it is a dead letter.
        where: its place in the vertex's input, as the vertex says it.
    """

    edge: str
    sequence: int
    index: int
    time_ns: int | None
    value: Any
    error: str | None = None
    where: str | None = None


@dataclass(frozen=True)
class Facts:
    """A deployment as it was observed; the same moment for all, as far as a log that goes on allows.

    Attributes:
        commits: the newest of each vertex.
        earlier: those of a moment before; the same ones where nothing was written in between.
        between_s: how long before.
        written_ns: when each of the newest was stored.
        heads: by subject, the sequence of the first piece of its last message.
        kept_from: by full subject, the sequence of the first message that the log still has.
        counts: messages by subject.
        holds: from which sequence on others need the whole log, by holder.
        now_ns: the server's time.
        since_ns: when the deployment began.
        has_log, has_coordinator: whether there is one.
        stall: a vertex that waits for itself, the edge that brings nothing, and the one that is full.
        rejected, failing: for a vertex that gives nothing, the last record that it has worked on; for one that has failed, the next.
        dead: the newest dead letter of each vertex that has any.
        is_gone: it is told from what its teardown has saved.
    """

    spec: DeploymentSpec
    commits: Mapping[str, Commit]
    earlier: Mapping[str, Commit] = field(default_factory=dict)
    between_s: float = 0.0
    written_ns: Mapping[str, int] = field(default_factory=dict)
    heads: Mapping[str, int] = field(default_factory=dict)
    kept_from: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    holds: Mapping[str, int] = field(default_factory=dict)
    now_ns: int = 0
    since_ns: int = 0
    has_log: bool = True
    has_coordinator: bool = True
    stall: tuple[str, str, str] | None = None
    rejected: Mapping[str, Sample] = field(default_factory=dict)
    failing: Mapping[str, Sample] = field(default_factory=dict)
    dead: Mapping[str, Sample] = field(default_factory=dict)
    is_gone: bool = False
    patience: Patience = field(default_factory=Patience)

    @cached_property
    def vertices(self) -> dict[str, VertexSpec]:
        """By name, each behind those that it reads from."""
        left = {one.name: one for one in self.spec.vertices}
        found: dict[str, VertexSpec] = {}
        while left:
            ready = [one for one in left.values() if not any(edge.src_vertex in left for edge in one.inputs)] or list(left.values())
            for one in ready:
                found[one.name] = left.pop(one.name)
        return found

    @cached_property
    def is_over(self) -> bool:
        """Nothing will move any more: it has ended, failed, was stopped or is gone."""
        over = self.spec.has_ended(self.commits) or self.spec.has_failed(self.commits)
        return self.is_gone or over or self.spec.desired in ("stopped", "discarding")

    def commit(self, vertex: str) -> Commit:
        """The newest of a vertex; an empty one where there is none."""
        return self.commits.get(vertex, _NONE)

    def has_failed(self, vertex: str) -> bool:
        """Whether it has, as it is deployed now."""
        return is_failed(self.vertices[vertex], self.commits.get(vertex))

    def readers(self, vertex: str, port: str) -> list[tuple[VertexSpec, EdgeSpec]]:
        """Who reads a port, by which edge."""
        return readers_of(self.spec, vertex, port)

    def is_sink(self, vertex: VertexSpec) -> bool:
        """Whether what it gets leaves the graph, by an output endpoint too."""
        return vertex.kind == "sink"

    def is_end(self, vertex: VertexSpec) -> bool:
        """Whether nobody reads what it gives."""
        return not any(self.readers(vertex.name, port) for port in vertex.outputs)

    def given(self, vertex: str) -> int:
        """Records that were put out for a vertex."""
        return sum(self.port_count(edge.src_vertex, edge.src_port) for edge in self.vertices[vertex].inputs)

    def port_count(self, vertex: str, port: str) -> int:
        """Records on a port so far."""
        stored = self.commit(vertex).ports.get(port)
        return stored.count if stored is not None else 0

    def lag(self, vertex: str) -> int:
        """Records that were put out for a vertex and that it has not taken; of a partition, those of its vertex."""
        if self.vertices[vertex].retired:
            return 0
        if self.vertices[vertex].generation > 1 and self.is_at_last(vertex):
            return 0  # an added vertex was not given what was trimmed before it
        return max(0, self.given(vertex) - records_taken(self.commits, vertex))

    def is_at_last(self, vertex: str) -> bool:
        """Whether a vertex has come to the last message of each of its edges."""
        positions = self.commit(vertex).positions
        return all(
            self.heads.get(self.subject(one.src_vertex, one.src_port), 0) <= positions.get(one.key, (0, 0))[0]
            for one in self.vertices[vertex].inputs
        )

    def subject(self, vertex: str, port: str) -> str:
        """Of a port."""
        return subjects.port(self.spec.workspace, self.spec.name, vertex, port)

    def is_full(self, vertex: str, port: str) -> bool:
        """Whether a port's subject holds as many messages as it may."""
        return self.counts.get(self.subject(vertex, port), 0) >= self.spec.max_messages_per_subject

    def is_blocked(self, vertex: str) -> bool:
        """Whether a port of a vertex is full: a commit writes all of them or none."""
        return any(self.is_full(vertex, port) for port in self.vertices[vertex].outputs)

    def holders(self, vertex: str, port: str) -> list[str]:
        """The readers that are furthest behind on a port."""
        needs = needs_of(self.spec, self.commits, vertex, port)
        return [name for name, need in needs.items() if need == min(needs.values())]

    def keepers(self, vertex: str, port: str) -> list[str]:
        """Holders of the log for whom a port is kept though all its readers have passed on."""
        needs = needs_of(self.spec, self.commits, vertex, port).values()
        return [name for name, sequence in self.holds.items() if sequence < min(needs, default=0)]

    def is_passed(self, vertex: str, port: str) -> bool:
        """Whether the log keeps messages of a full port that no reader and no holder needs: nobody trims them."""
        subject = self.subject(vertex, port)
        if subject not in self.kept_from:
            return False
        needs = needs_of(self.spec, self.commits, vertex, port).values()
        return self.kept_from[subject] < min([*needs, *self.holds.values(), self.heads.get(subject, 0)])

    def age_s(self, vertex: str) -> float:
        """Since a vertex has last written, or since the deployment began."""
        return max(0.0, (self.now_ns - self.written_ns.get(vertex, self.since_ns)) / 1e9)

    @property
    def deployed_s(self) -> float:
        """Since the deployment began."""
        return max(0.0, (self.now_ns - self.since_ns) / 1e9)

    def has_moved(self, vertex: str) -> bool:
        """Whether it has taken or given records between the two looks."""
        before, after = self.earlier.get(vertex, _NONE).counters, self.commit(vertex).counters
        return (before.records_in, before.records_out) != (after.records_in, after.records_out)

    def rate(self, vertex: str) -> float:
        """Records that it has taken in a second, between the two looks."""
        taken = self.commit(vertex).counters.records_in - self.earlier.get(vertex, _NONE).counters.records_in
        return taken / self.between_s if self.between_s > 0 else 0.0

    def is_idle(self, vertex: str) -> bool:
        """It has written nothing for long."""
        return not self.has_moved(vertex) and self.age_s(vertex) >= self.patience.idle_s

    def upstream(self, vertex: str) -> set[str]:
        """All vertices that what it gets comes from, and itself."""
        found, new = {vertex}, [vertex]
        while new:
            for edge in self.vertices[new.pop()].inputs:
                if edge.src_vertex in self.vertices and edge.src_vertex not in found:
                    found.add(edge.src_vertex)
                    new.append(edge.src_vertex)
        return found

    def emits_aside(self, vertex: str) -> bool:
        """Whether it has shown that it gives records when time has come, or at its end, rather than for a record at once."""
        commit = self.commit(vertex)
        return commit.time_ns != 0 or commit.promise is not None
