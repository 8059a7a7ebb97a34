"""Vertices that wait: for an input that is idle, for records that they do not take, for room. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from thalweg.client.diagnosis.facts import Facts
from thalweg.client.diagnosis.findings import Finding, Severity
from thalweg.client.diagnosis.wording import clock, event_time, listed, records, seconds
from thalweg.wire.spec import EdgeSpec, VertexSpec


def find_waiting(facts: Facts, vertex: VertexSpec) -> Iterator[Finding]:
    """What a running vertex waits for."""
    commit = facts.commits.get(vertex.name)
    if facts.is_over or commit is None or commit.ended or facts.has_failed(vertex.name):
        return
    edge = next((one for one in vertex.inputs if one.key == commit.waits_for), None)
    if edge is not None:
        if facts.stall is None or facts.stall[0] != vertex.name:
            yield _for_input(facts, vertex, edge)
    elif vertex.inputs and facts.lag(vertex.name) and facts.is_idle(vertex.name) and not facts.is_blocked(vertex.name):
        yield _takes_nothing(facts, vertex)
    elif vertex.inputs and facts.is_idle(vertex.name) and all(facts.commit(one.src_vertex).ended for one in vertex.inputs):
        yield _does_not_end(facts, vertex)
    for port in vertex.outputs:
        if facts.is_full(vertex.name, port):
            yield from _for_room(facts, vertex, port)


def _for_input(facts: Facts, vertex: VertexSpec, edge: EdgeSpec) -> Finding:
    name = vertex.name
    roots = _idle_roots(facts, edge.src_vertex)
    age_s = min([facts.age_s(one) for one in roots], default=facts.age_s(name))
    marks = {one.key: event_time(facts.commit(one.src_vertex).promised) for one in vertex.inputs if one.src_vertex in facts.commits}
    evidence = {
        "edge": edge.key,
        "waiting": facts.lag(name),
        "watermarks": marks,
        "idle": {one: clock(facts.written_ns.get(one, facts.since_ns)) for one in roots},
        "idle_s": round(age_s, 1),
    }
    said = f"has {records(facts.lag(name))} to work on, and waits for {edge.key}"
    said += f", whose event time is at {marks.get(edge.key, 'its beginning')}"
    if roots:
        since = clock(facts.written_ns.get(roots[0], facts.since_ns))
        said += f": {listed(roots)} {'has' if len(roots) == 1 else 'have'} written nothing since {since} ({seconds(age_s)})"
    hint = "let the idle input send something, if only its time; combine by arrival or latest where order does not matter"
    lasts = facts.is_idle(name) and age_s >= facts.patience.idle_s
    return Finding("flow.waits_for_watermark", "fault" if lasts else "note", name, said, hint, edge.key, evidence)


def _idle_roots(facts: Facts, vertex: str) -> list[str]:
    """The sources behind an edge that have not ended and move nothing; the writer itself where there are none."""
    sources = [one for one in facts.vertices if one in facts.upstream(vertex) and not facts.vertices[one].inputs]
    idle = [one for one in sources if not facts.commit(one).ended and not facts.has_moved(one) and not facts.is_blocked(one)]
    return idle or [vertex]


def _takes_nothing(facts: Facts, vertex: VertexSpec) -> Finding:
    name, lag, age_s = vertex.name, facts.lag(vertex.name), facts.age_s(vertex.name)
    commit = facts.commit(name)
    evidence = {"lag": lag, "records_in": commit.counters.records_in, "idle_s": round(age_s, 1), "starts": commit.epoch}
    since = f"since {clock(facts.written_ns.get(name, facts.since_ns))} ({seconds(age_s)})"
    hint = f"one record may take it long, or its process is gone: `thalweg logs {facts.spec.name} {name}`"
    severity: Severity = "fault" if age_s >= facts.patience.start_s else "warning"
    if vertex.outputs:
        said = f"has {records(lag)} to take, and has taken none {since}"
        return Finding("vertex.stuck", severity, name, said, hint, evidence=evidence)
    taken = commit.counters.records_in
    said = f"has confirmed {f'{taken:,} of ' if taken else 'none of '}{records(facts.given(name))}, nothing {since}"
    return Finding("sink.not_confirmed", severity, name, said, hint, evidence=evidence)


def _does_not_end(facts: Facts, vertex: VertexSpec) -> Finding:
    age_s = facts.age_s(vertex.name)
    said = f"has taken all there is, and has not come to its end for {seconds(age_s)}"
    hint = f"it may be storing its files, or work at its end: `thalweg logs {facts.spec.name} {vertex.name}`"
    if vertex.generated:
        hint = f"is the file store reachable? It waits for it: `thalweg logs {facts.spec.name} {vertex.name}`"
    evidence = {"records_in": facts.commit(vertex.name).counters.records_in, "idle_s": round(age_s, 1), "files": dict(vertex.generated)}
    return Finding("vertex.not_ended", "warning", vertex.name, said, hint, evidence=evidence)


def _for_room(facts: Facts, vertex: VertexSpec, port: str) -> Iterator[Finding]:
    """A port that is full: who holds it. What nobody trims is told of the coordinator."""
    if facts.is_passed(vertex.name, port):
        return
    place, limit = f"{vertex.name}.{port}", facts.spec.max_messages_per_subject
    if keepers := facts.keepers(vertex.name, port):
        said = f"waits for room: {place} is full ({limit:,} messages), and is kept for {listed(keepers)}, though its readers have passed on"
        hint = "who holds a log has to keep up with it; a holder that is dead counts for half a minute at most"
        held = {one: facts.holds[one] for one in keepers}
        severity: Severity = "note" if facts.has_moved(vertex.name) else "warning"
        yield Finding("flow.held", severity, vertex.name, said, hint, port, {"messages": limit, "holds": held})
        return
    holders = facts.holders(vertex.name, port)
    if not holders:
        return
    evidence = {
        "messages": limit,
        "held_by": {
            one: {"lag": facts.lag(one), "records_per_s": round(facts.rate(one), 1), "idle_s": round(facts.age_s(one), 1)}
            for one in holders
        },
    }
    moving = [one for one in holders if facts.has_moved(one) or not facts.is_idle(one)]
    said = f"is held back by {listed(holders)}: {place} is full ({limit:,} messages), and "
    if moving:
        said += " and ".join(f"{one} takes {facts.rate(one):,.0f} records/s" for one in moving)
        hint = f"the graph runs at the speed of {listed(moving)}; that is as it should be, unless it is too slow"
        yield Finding("flow.back_pressure", "note", vertex.name, said, hint, port, evidence)
    else:
        said += f"{listed(holders)} {'has' if len(holders) == 1 else 'have'} taken nothing for {seconds(min(map(facts.age_s, holders)))}"
        last = _last_in_chain(facts, holders[0])
        hint = f"look at {last}: what is before it waits for it"
        if any(facts.is_full(last, one) and facts.is_passed(last, one) for one in facts.vertices[last].outputs):
            hint = f"{last} waits for room, as nobody trims what it has written"
        yield Finding("flow.back_pressure", "warning", vertex.name, said, hint, port, evidence)


def _last_in_chain(facts: Facts, vertex: str) -> str:
    """Where a chain of vertices that wait for room ends."""
    seen = {vertex}
    while True:
        ports = facts.vertices[vertex].outputs
        full = next((port for port in ports if facts.is_full(vertex, port) and not facts.is_passed(vertex, port)), None)
        holders = [one for one in facts.holders(vertex, full) if one not in seen] if full is not None else []
        if not holders:
            return vertex
        vertex = holders[0]
        seen.add(vertex)
