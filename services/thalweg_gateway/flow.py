"""Decides from the commits of a deployment when a record from outside has been worked on by all vertices up to an output endpoint.

A vertex is past a record once a commit of it has a position behind all that the vertices before it had written when they were past
it. Commits are cumulative, so that any later commit will do in the place of the first: what was not seen only makes it later.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from thalweg.bus.follower import Delivered
from thalweg.wire.boundary import RECORDS_HEADER
from thalweg.wire.commit import CHUNK_HEADER, HEADER, Commit, Failure, decode_commit
from thalweg.wire.spec import INLET_KEY, DeploymentSpec, EdgeSpec, VertexSpec, has_ended, is_failed
from thalweg.wire.subjects import COMMIT_PORT, DEAD_PORT, STATE_PORT, parse_port

Place = tuple[int, int]  # first sequence of a message, and how many records it has


@dataclass(frozen=True, slots=True)
class Path:
    """The vertices between an input and an output endpoint, in topological order, both ends included."""

    inlet: str
    outlet: str
    vertices: tuple[VertexSpec, ...]

    def edges_into(self, vertex: VertexSpec) -> list[EdgeSpec]:
        """Those of its input edges that are on the way."""
        names = {one.name for one in self.vertices}
        return [edge for edge in vertex.inputs if edge.src_vertex in names]


def find_path(spec: DeploymentSpec, inlet: str, outlet: str) -> Path | None:
    """The way from one endpoint to another; None where there is none."""
    behind, order = {inlet}, [one for one in spec.vertices if one.name == inlet]
    for vertex in spec.vertices:  # in topological order
        if any(edge.src_vertex in behind for edge in vertex.inputs):
            behind.add(vertex.name)
            order.append(vertex)
    wanted = {outlet}
    for vertex in reversed(order):
        if vertex.name in wanted:
            wanted |= {edge.src_vertex for edge in vertex.inputs}
    return Path(inlet, outlet, tuple(one for one in order if one.name in wanted)) if outlet in behind and outlet != inlet else None


def reachable_outlets(spec: DeploymentSpec, inlet: str) -> list[str]:
    """Names of the output endpoints' vertices that an input endpoint leads to."""
    return [one.name for one in spec.vertices if one.endpoint == "out" and find_path(spec, inlet, one.name) is not None]


@dataclass
class Progress:
    """How far a record has come: by vertex that is past it, what that had written to each port by then."""

    last_sequence: int
    passed: dict[str, dict[str, Place | None]] = field(default_factory=dict)


class Flow:
    """What is known of a deployment's commits.

    Args:
        spec: the deployment.
    """

    def __init__(self, spec: DeploymentSpec) -> None:
        self.commits: dict[str, Commit] = {}
        self._written: dict[tuple[str, str], Place] = {}
        self._last_port: dict[str, str] = {}
        self.take_spec(spec)

    def take_spec(self, spec: DeploymentSpec) -> None:
        """The deployment as it is now."""
        self.spec = spec
        self._last_port = {
            one.name: COMMIT_PORT if one.endpoint == "out" or not one.outputs else list(one.outputs)[-1] for one in spec.vertices
        }

    def take_heads(self, heads: list[Delivered], start: int) -> None:
        """Takes in the last message of each subject; those from `start` on are observed later, as they are followed.

        Heads are not of one instant. A vertex that has written meanwhile is not taken at its word: what its ports had when it said
        so may be in a message that is not among them.
        """
        moved = {place[0] for head in heads if head.sequence >= start and (place := parse_port(head.subject)) is not None}
        for head in sorted(heads, key=lambda one: one.sequence):
            if head.sequence < start and (vertex := self.observe(head)) in moved and vertex is not None:
                del self.commits[vertex]

    def observe(self, message: Delivered) -> str | None:
        """Takes in a message of a vertex; its name when that completes a commit. Bodies are not needed."""
        place = parse_port(message.subject)
        if place is None:
            return None
        vertex, port = place
        text = message.headers.get(HEADER)
        if text is None or port in (STATE_PORT, DEAD_PORT):
            return None
        chunks = int(message.headers.get(CHUNK_HEADER, "1/1").partition("/")[2])
        if port != COMMIT_PORT:
            self._written[vertex, port] = (message.sequence - chunks + 1, int(message.headers.get(RECORDS_HEADER, 0)))
        if port not in (COMMIT_PORT, self._last_port.get(vertex)):
            return None  # a commit over several ports: the others follow
        commit = decode_commit(text)
        known = self.commits.get(vertex)
        if known is None or commit.number >= known.number:
            self.commits[vertex] = commit
        return vertex

    def advance(self, progress: Progress, path: Path) -> bool:
        """Takes a record as far as the commits say; whether it has come to the path's end."""
        for vertex in path.vertices:
            if vertex.name not in progress.passed and self._is_past(vertex, progress, path):
                progress.passed[vertex.name] = {port: self._written.get((vertex.name, port)) for port in vertex.outputs}
        return path.outlet in progress.passed

    def is_made(self, progress: Progress, path: Path) -> bool:
        """Whether all is written that the path's end is going to get of a record; call `advance` before."""
        return all(one.name in progress.passed for one in path.vertices if one.name != path.outlet)

    def failure(self, progress: Progress, path: Path) -> tuple[str, Failure] | None:
        """A vertex of the path that has failed, and is not past the record."""
        for vertex in path.vertices:
            commit = self.commits.get(vertex.name)
            if commit is not None and commit.failure is not None and vertex.name not in progress.passed and is_failed(vertex, commit):
                return vertex.name, commit.failure
        return None

    def _is_past(self, vertex: VertexSpec, progress: Progress, path: Path) -> bool:
        commit = self.commits.get(vertex.name)
        if commit is None:
            return False
        if vertex.retired:
            return has_ended(vertex, commit)  # nothing of it follows; what it did not do is done by those in its place
        if vertex.name == path.inlet:
            return _is_behind(commit.positions.get(INLET_KEY), (progress.last_sequence, 1))
        for edge in path.edges_into(vertex):
            if edge.src_vertex not in progress.passed:
                return False
            written = progress.passed[edge.src_vertex].get(edge.src_port)
            if written is not None and not _is_behind(commit.positions.get(edge.key), written):
                return False
        return True


def _is_behind(position: Place | None, written: Place) -> bool:
    """Whether a position lies behind all records of a message."""
    return position is not None and (position[0] > written[0] or (position[0] == written[0] and position[1] >= written[1]))
