"""Diagnoses observed facts: follows records from sources to ends, and puts all that is found in order. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from thalweg.client.diagnosis.facts import Facts
from thalweg.client.diagnosis.files import find_files
from thalweg.client.diagnosis.findings import Diagnosis, Ending, Figures, Finding, in_order
from thalweg.client.diagnosis.losses import find_losses
from thalweg.client.diagnosis.pressure import find_pressure
from thalweg.client.diagnosis.sources import find_dry
from thalweg.client.diagnosis.vertices import find_broken
from thalweg.client.diagnosis.waiting import find_waiting
from thalweg.client.diagnosis.whole import find_unread, find_whole
from thalweg.wire.spec import VertexSpec


def diagnose(facts: Facts, towards: str | None = None) -> Diagnosis:
    """Where the flow ends, and why.

    Args:
        facts: what was observed.
        towards: a vertex; only what is on the way to it is told then.
    """
    wanted = facts.upstream(towards) if towards is not None else set(facts.vertices)
    found = [*find_whole(facts), *find_unread(facts)]
    for vertex in facts.vertices.values():
        found += _of_vertex(facts, vertex)
    kept = [one for one in found if one.vertex is None or one.vertex in wanted]
    ends = [one.name for one in facts.vertices.values() if facts.is_end(one)] if towards is None else [towards]
    return Diagnosis(
        deployment=facts.spec.name,
        backend=facts.spec.backend,
        generation=facts.spec.generation,
        state=state_of(facts),
        flow=[_figures(facts, one) for one in facts.vertices.values() if one.name in wanted],
        ends=[_ending(facts, one) for one in ends],
        findings=in_order(kept, list(facts.vertices)),
    )


def state_of(facts: Facts) -> str:
    """In one word."""
    if facts.is_gone:
        return "gone"
    if facts.spec.desired != "running":
        return {"stopped": "stopped"}.get(facts.spec.desired, "stopping")
    if facts.spec.has_failed(facts.commits):
        return "failed"
    if facts.spec.has_ended(facts.commits):
        return "finished"
    return "running" if all(name in facts.commits for name in facts.vertices) else "starting"


def gives_none(facts: Facts, vertex: VertexSpec) -> bool:
    """Whether a vertex is where records stop: it has got some, or is a source, and has given none."""
    counters = facts.commit(vertex.name).counters
    gets = not vertex.inputs or facts.given(vertex.name) > 0
    return gets and (counters.records_out if vertex.outputs else counters.records_in) == 0


def _of_vertex(facts: Facts, vertex: VertexSpec) -> Iterator[Finding]:
    yield from find_broken(facts, vertex)
    yield from find_dry(facts, vertex)
    yield from find_losses(facts, vertex)
    yield from find_waiting(facts, vertex)
    yield from find_pressure(facts, vertex)
    yield from find_files(facts, vertex)


def _figures(facts: Facts, vertex: VertexSpec) -> Figures:
    commit = facts.commit(vertex.name)
    counters = commit.counters
    return Figures(
        vertex=vertex.name,
        component=vertex.component,
        state=_vertex_state(facts, vertex.name),
        reads=list(dict.fromkeys(edge.src_vertex for edge in vertex.inputs)),
        records_in=counters.records_in,
        records_out=counters.records_out,
        filtered=counters.filtered,
        dead=counters.dead,
        late=counters.late,
        dropped=counters.dropped,
        lag=facts.lag(vertex.name) if vertex.inputs else 0,
        rate=round(facts.rate(vertex.name), 1),
        has_inputs=bool(vertex.inputs),
        has_outputs=bool(vertex.outputs),
        is_stop=gives_none(facts, vertex),
    )


def _vertex_state(facts: Facts, vertex: str) -> str:
    if facts.has_failed(vertex):
        return "failed"
    if facts.commit(vertex).ended:
        return "ended"
    if facts.is_over:
        return "stopped"
    return "running" if vertex in facts.commits else "starting"


def _ending(facts: Facts, end: str) -> Ending:
    counters = facts.commit(end).counters
    vertex = facts.vertices[end]
    reached = counters.records_out if vertex.outputs else counters.records_in
    stop = None
    if reached == 0:
        way = facts.upstream(end)
        stop = next((name for name, one in facts.vertices.items() if name in way and gives_none(facts, one)), end)
    return Ending(end, reached, _path(facts, stop, end), stop)


def _path(facts: Facts, through: str | None, end: str) -> list[str]:
    """The shortest way from a source to an end, by a vertex where one is given."""
    if through is None or through == end:
        return _way_up(facts, end, None)
    return _way_up(facts, through, None)[:-1] + _way_up(facts, end, through)


def _way_up(facts: Facts, end: str, start: str | None) -> list[str]:
    """From `start`, else from the nearest source, to `end`."""
    came_from: dict[str, str | None] = {end: None}
    queue = deque([end])
    while queue:
        name = queue.popleft()
        writers = [edge.src_vertex for edge in facts.vertices[name].inputs if edge.src_vertex in facts.vertices]
        if name == start or (start is None and not writers):
            path = [name]
            while (following := came_from[path[-1]]) is not None:
                path.append(following)
            return path
        for writer in writers:
            if writer not in came_from:
                came_from[writer] = name
                queue.append(writer)
    return [end]
