"""Finds in a replay the order in which vertices took their inputs as they came, so that another run can follow it."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from thalweg.replay.commits import commit_of
from thalweg.replay.feeding import COMPONENT
from thalweg.replay.reader import Replay
from thalweg.runtime.recorded_order import RecordedOrder
from thalweg.wire.batch import Batch
from thalweg.wire.capturing import captured_ports
from thalweg.wire.commit import Commit
from thalweg.wire.partitions import formers_of, indexes
from thalweg.wire.spec import DeploymentSpec, EdgeSpec, FileSpec, Follows, VertexSpec


def plan_orders(vertices: Iterable[VertexSpec], ran: DeploymentSpec) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Which vertices of a graph can follow the order of a run that was captured, and what is to be known of the others. Pure.

    The commits of a vertex that takes several inputs as they come tell the order; the ids of the records are in its inputs.

    Args:
        vertices: of the graph that is to run.
        ran: what ran, as it stands in the replay.

    Returns:
        By vertex, what each of its edges was there (edge key -> `vertex.port`); and, as lines, which ones take records as they come now.
    """
    vertices = list(vertices)
    captured = {f"{vertex}.{port}" for vertex, port in captured_ports(ran)}
    stand_ins = {one.name: one for one in vertices if one.component.partition("@")[0] == COMPONENT}
    orders: dict[str, dict[str, str]] = {}
    notes = []
    for one in vertices:
        if not one.is_by_arrival:
            continue
        edges = {edge.key: _recorded_port(edge.src_vertex, edge.src_port, stand_ins) for edge in one.inputs}
        why = _why_not(one, edges, ran, captured)
        if why is None:
            orders[one.name] = edges
        else:
            notes.append(f"{one.name} takes records as they come: their order, and what follows it, may differ ({why})")
    return orders, notes


def _recorded_port(vertex: str, port: str, stand_ins: Mapping[str, VertexSpec]) -> str:
    params = stand_ins[vertex].params if vertex in stand_ins else {}
    return f"{params.get('vertex', vertex)}.{params.get('port') or port}"


def _why_not(vertex: VertexSpec, edges: Mapping[str, str], ran: DeploymentSpec, captured: Collection[str]) -> str | None:
    before = next((one for one in ran.vertices if one.name == vertex.name), None)
    if before is None:
        return "it was not there in the recorded run"
    if {(edges[edge.key], edge.dst_port) for edge in vertex.inputs} != {
        (f"{e.src_vertex}.{e.src_port}", e.dst_port) for e in before.inputs
    }:
        return "it had other inputs in the recorded run"
    if any(one.rewind is not None for one in ran.vertices) or any(edge.start for edge in before.inputs):
        return "the recorded run went back"
    if before.retired or any(formers_of(ran, one) for one in ran.vertices if one.name == vertex.name):
        return "its partitions were changed in the recorded run"
    if missing := sorted(set(edges.values()) - set(captured)):
        return f"{missing[0]} was not captured"
    return None


def in_recorded_order(vertices: Iterable[VertexSpec], ran: DeploymentSpec, replay: FileSpec) -> tuple[list[VertexSpec], list[str]]:
    """Vertices that take their inputs in the order of a run, where its replay has that; and, as lines, which ones do not. Pure."""
    vertices = list(vertices)
    orders, notes = plan_orders(vertices, ran)
    follows = {name: Follows(replay, ports) for name, ports in orders.items()}
    return [msgspec.structs.replace(one, follows=follows.get(one.name)) for one in vertices], notes


def order_of(replay: Replay, vertex: VertexSpec, edges: Iterable[EdgeSpec], ports: Mapping[str, str]) -> RecordedOrder:
    """The order of a vertex's inputs. Reads all of the replay; in memory, 8 bytes for each record stay.

    Args:
        replay: of the run.
        vertex: whose; of a partition, only what falls to it counts.
        edges: in rank order: of several edges from one port, each takes a message in its turn.
        ports: edge key -> `vertex.port` that it was in that run.

    Raises:
        RejectedError: `replay.damaged`.
    """
    own = {edge.key: f"{ports[edge.key]}>{edge.dst_port}" for edge in edges}
    keys: dict[tuple[str, str], list[str]] = {}
    for key in own:
        source, _, port = ports[key].partition(".")
        keys.setdefault((source, port), []).append(key)
    reading, number = _Reading({there: key for key, there in own.items()}), 0
    for body in replay.bodies(commits=True):
        place = body.vertex, body.port
        if place in keys and (batch := replay.decode(body)) is not None:
            ids = _ids_for(vertex, batch)
            for key in keys[place]:
                reading.arrived(key, ids)
        if body.vertex == vertex.name and (commit := commit_of(body)).number > number:
            number = commit.number
            reading.took(commit)
    replay.raise_if_damaged()
    return reading.rest()


def _ids_for(vertex: VertexSpec, batch: Batch[msgspec.Raw]) -> Sequence[int]:
    ids = batch.ids()
    if vertex.share is None:
        return ids
    values = [msgspec.msgpack.decode(one) for one in batch.v] if vertex.share.key is not None else []
    return [ids[index] for index in indexes(vertex.share, values, ids)]


class _Reading:
    """What has arrived at a vertex, and in which order it has taken that.

    Args:
        edges: what edges are called in its commits -> what they are called now.
    """

    def __init__(self, edges: Mapping[str, str]) -> None:
        self._edges, self._order = edges, RecordedOrder(list(edges.values()))
        self._waiting = deque[tuple[str, deque[int]]]()  # in the order of the log
        self._queues = {key: deque[deque[int]]() for key in edges.values()}

    def arrived(self, edge: str, ids: Iterable[int]) -> None:
        """A message of an edge."""
        batch = deque(ids)
        self._waiting.append((edge, batch))
        self._queues[edge].append(batch)

    def took(self, commit: Commit) -> None:
        """What a commit says."""
        names = list(commit.positions)
        for index, count in commit.taken:
            edge = self._edges.get(names[index]) if index < len(names) else None
            if edge is not None:
                self._order.add(edge, [one for _ in range(count) if (one := self._next(edge)) is not None])
        while self._waiting and not self._waiting[0][1]:
            self._waiting.popleft()

    def _next(self, edge: str) -> int | None:
        queue = self._queues[edge]
        while queue and not queue[0]:
            queue.popleft()
        return queue[0].popleft() if queue else None

    def rest(self) -> RecordedOrder:
        """The order; what no commit has told of comes in that of the log, as do all records of a vertex that did not tell it yet."""
        for edge, batch in self._waiting:
            self._order.add(edge, batch)
        return self._order
