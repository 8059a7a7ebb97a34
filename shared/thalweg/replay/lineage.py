"""Where records come from and what they become: by their ids, and by what each commit had read."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from thalweg.replay.commits import commit_of
from thalweg.replay.reader import Replay
from thalweg.wire import ids
from thalweg.wire.spec import DeploymentSpec, EdgeSpec, VertexSpec

MAX_TRIES = 200_000  # hashes, for one record
MAX_LISTED = 10
Position = tuple[int, int]
_START: Position = (0, 0)


@dataclass(frozen=True, slots=True)
class Place:
    """A record: the index-th of a port, from 0."""

    vertex: str
    port: str
    index: int


@dataclass(frozen=True, slots=True)
class Link:
    """Records that another one comes from, or has become.

    Attributes:
        places: which; at most `MAX_LISTED`.
        count: how many there are.
        is_certain: all of these; else one or some of them.
        how: in words.
        vertex: which reads or has written them.
    """

    places: list[Place]
    count: int
    is_certain: bool
    how: str
    vertex: str


@dataclass(slots=True)
class _Port:
    """Ids and event times of a port, and where each of its messages begins."""

    ids: array[int] = field(default_factory=lambda: array("Q"))
    times: array[int] = field(default_factory=lambda: array("q"))
    sequences: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)

    def position(self, index: int) -> Position:
        """Of a record: sequence of its message, and its place in that."""
        message = bisect_right(self.starts, index) - 1
        return self.sequences[message], index - self.starts[message]

    def index(self, position: Position) -> int:
        """Of the first record that lies at a position or behind it."""
        message = bisect_right(self.sequences, position[0]) - 1
        if message < 0:
            return 0
        end = self.starts[message + 1] if message + 1 < len(self.starts) else len(self.ids)
        if self.sequences[message] < position[0]:
            return end
        return min(self.starts[message] + position[1], end)


@dataclass(slots=True)
class _Written:
    """One commit of a vertex: what it had read before it and behind it, which records of each port it holds."""

    number: tuple[int, int]
    before: Mapping[str, Position]
    after: Mapping[str, Position]
    ports: dict[str, tuple[int, int]] = field(default_factory=dict)


class Lineage:
    """Of one run. Ids and times of all records are in memory, 16 bytes for each; values are not.

    Args:
        replay: of it; all of it is read.
        spec: what ran.

    Raises:
        RejectedError: `replay.damaged`.
    """

    def __init__(self, replay: Replay, spec: DeploymentSpec) -> None:
        self.vertices = {one.name: one for one in spec.vertices}
        self._ports: dict[tuple[str, str], _Port] = {}
        self._commits: dict[str, list[_Written]] = {name: [] for name in self.vertices}
        for body in replay.bodies(commits=True):
            commit = commit_of(body)
            written = self._written(body.vertex, (commit.epoch, commit.number), commit.positions)
            batch = replay.decode(body) if not body.port.startswith("_") else None
            if batch is not None:
                port = self._ports.setdefault((body.vertex, body.port), _Port())
                start = len(port.ids)
                port.sequences.append(body.first.sequence)
                port.starts.append(start)
                port.ids.extend(batch.ids())
                port.times.extend(batch.t)
                written.ports[body.port] = start, len(port.ids)

    def _written(self, vertex: str, number: tuple[int, int], positions: Mapping[str, Position]) -> _Written:
        commits = self._commits.setdefault(vertex, [])
        if not commits or commits[-1].number != number:
            commits.append(_Written(number, commits[-1].after if commits else {}, positions))
        return commits[-1]

    def places_of(self, record_id: int) -> list[Place]:
        """Every record of an id."""
        found = []
        for (vertex, name), port in self._ports.items():
            found += [Place(vertex, name, index) for index, one in enumerate(port.ids) if one == record_id]
        return found

    def has(self, place: Place) -> bool:
        """Whether there is such a record."""
        port = self._ports.get((place.vertex, place.port))
        return port is not None and place.index < len(port.ids)

    def facts(self, place: Place) -> tuple[int, int]:
        """Id and event time (UTC ns) of a record."""
        port = self._ports[place.vertex, place.port]
        return port.ids[place.index], port.times[place.index]

    def back(self, place: Place, window_ns: tuple[int, int] | None = None) -> list[Link]:
        """What a record comes from, by input edge; nothing for one of a source.

        Args:
            place: the record.
            window_ns: event times of the records that it sums up, where it says so: from, and before.
        """
        vertex, commit = self.vertices[place.vertex], self._commit_of(place)
        record_id, found = self.facts(place)[0], list[Link]()
        is_aside = record_id in {ids.derived(place.vertex, cause, place.port, place.index) for cause in ("watermark", "finish")}
        for edge, order in _ranked(vertex):
            source = self._ports.get((edge.src_vertex, edge.src_port))
            if source is None:
                found.append(Link([], 0, False, f"{edge.src_vertex}.{edge.src_port} was not captured", place.vertex))
            elif is_aside:
                found.append(self._summed(edge, source, commit, window_ns))
            else:
                found.append(self._parent(edge, source, order, commit, record_id))
        if any(one.is_certain for one in found):  # of the others, it may have used some, as a join does
            return [one if one.is_certain else replace(one, how=f"perhaps with {one.how}") for one in found if one.is_certain or one.count]
        return found

    def forward(self, place: Place) -> list[Link]:
        """What a record has become, by vertex that has read it."""
        found = []
        port = self._ports[place.vertex, place.port]
        position, record_id = port.position(place.index), port.ids[place.index]
        for vertex in self.vertices.values():
            for edge, order in _ranked(vertex):
                if (edge.src_vertex, edge.src_port) == (place.vertex, place.port):
                    found.append(self._become(vertex, edge, order, position, record_id))
        return found

    def _commit_of(self, place: Place) -> _Written:
        none = (0, 0)
        spans = ((one, one.ports.get(place.port, none)) for one in self._commits[place.vertex])
        return next(one for one, (start, end) in spans if start <= place.index < end)

    def _read(self, edge: EdgeSpec, source: _Port, commit: _Written) -> range:
        """Indexes of the records that a commit has read from an edge."""
        before, after = (source.index(tuple(side.get(edge.key, _START))) for side in (commit.before, commit.after))  # type: ignore[arg-type]
        return range(before, after)

    def _parent(self, edge: EdgeSpec, source: _Port, order: int, commit: _Written, record_id: int) -> Link:
        read = self._read(edge, source, commit)
        fan_out = sum(end - start for start, end in commit.ports.values())
        index = _match(((index, source.ids[index]) for index in read), order, record_id, fan_out)
        if index is not None:
            return Link([Place(edge.src_vertex, edge.src_port, index)], 1, True, "by its id", edge.src_vertex)
        what = "read in the same commit" if read else "nothing was read from there in that commit"
        return Link(_listed(edge, read), len(read), False, f"one of {len(read):,} {what}" if read else what, edge.src_vertex)

    def _summed(self, edge: EdgeSpec, source: _Port, commit: _Written, window_ns: tuple[int, int] | None) -> Link:
        read = range(0, source.index(tuple(commit.after.get(edge.key, _START))))  # type: ignore[arg-type]
        if window_ns is None:
            return Link(_listed(edge, read[-MAX_LISTED:]), len(read), False, f"some of {len(read):,} read up to there", edge.src_vertex)
        within = [index for index in read if window_ns[0] <= source.times[index] < window_ns[1]]
        return Link(_listed(edge, within), len(within), False, f"some of {len(within):,} within its window", edge.src_vertex)

    def _become(self, vertex: VertexSpec, edge: EdgeSpec, order: int, position: Position, record_id: int) -> Link:
        commit = next((one for one in self._commits[vertex.name] if tuple(one.after.get(edge.key, _START)) > position), None)
        if commit is None:
            return Link([], 0, False, "not read, as far as the replay tells", vertex.name)
        if vertex.endpoint == "out" or not vertex.outputs:
            return Link([], 0, True, "read, and nothing follows in the graph", vertex.name)
        children = []
        for port, (start, end) in commit.ports.items():
            own = self._ports[vertex.name, port].ids
            wanted = set(_children(record_id, order, sum(last - first for first, last in commit.ports.values())))
            children += [Place(vertex.name, port, index) for index in range(start, end) if own[index] in wanted]
        if children:
            return Link(children[:MAX_LISTED], len(children), True, "by its id", vertex.name)
        return Link([], 0, False, "nothing has its id: filtered, or kept in state and part of what is given later", vertex.name)


def _ranked(vertex: VertexSpec) -> Iterator[tuple[EdgeSpec, int]]:
    """Edges with the ranks that ids of records are made with: those of ports in the order in which they are deployed, then by source."""
    ports = list(dict.fromkeys(edge.dst_port for edge in vertex.inputs))
    ordered = sorted(vertex.inputs, key=lambda edge: (ports.index(edge.dst_port), edge.src_vertex, edge.src_port))
    return zip(ordered, range(len(ordered)), strict=True)


def _bases(record_id: int, order: int) -> Iterator[int]:
    """Ids that what comes first of a record may have; the rank of a port may be another one than it seems, as ports are ranked by code."""
    yield record_id
    for rank in range(1, max(order, 1) + 8):
        yield ids.derived(record_id, rank)


def _children(record_id: int, order: int, fan_out: int) -> Iterator[int]:
    for base in _bases(record_id, order):
        yield base
        for number in range(1, min(fan_out, MAX_TRIES // 16) + 1):
            yield ids.derived(base, number)


def _match(candidates: Iterable[tuple[int, int]], order: int, record_id: int, fan_out: int) -> int | None:
    """Which of the records the id comes from; likely ways first."""
    given = list(candidates)
    for index, one in given:
        if one == record_id:
            return index
    hashed = [(index, base) for index, one in given for base in islice(_bases(one, order), 1, None)]
    for index, base in hashed:
        if base == record_id:
            return index
    tries = 0
    for number in range(1, fan_out + 1):
        for index, base in (*given, *hashed):
            tries += 1
            if tries > MAX_TRIES:
                return None
            if ids.derived(base, number) == record_id:
                return index
    return None


def _listed(edge: EdgeSpec, indexes: Iterable[int]) -> list[Place]:
    return [Place(edge.src_vertex, edge.src_port, index) for index in islice(indexes, MAX_LISTED)]
