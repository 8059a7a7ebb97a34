"""Vertices that wait for room: full subjects, and who holds them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from thalweg.client.diagnosis.facts import Facts
from thalweg.client.diagnosis.findings import Finding, Severity
from thalweg.client.diagnosis.wording import listed, seconds
from thalweg.wire.spec import VertexSpec


def find_pressure(facts: Facts, vertex: VertexSpec) -> Iterator[Finding]:
    """For each full port of a running vertex, who holds it; what nobody trims is told of the coordinator."""
    if facts.is_over or facts.has_failed(vertex.name) or facts.commit(vertex.name).ended:
        return
    for port in vertex.outputs:
        if not facts.is_full(vertex.name, port) or facts.is_passed(vertex.name, port):
            continue
        if facts.keepers(vertex.name, port):
            yield _kept(facts, vertex, port)
        elif facts.holders(vertex.name, port):
            yield _held(facts, vertex, port)


def _kept(facts: Facts, vertex: VertexSpec, port: str) -> Finding:
    keepers, limit = facts.keepers(vertex.name, port), facts.spec.max_messages_per_subject
    said = f"waits for room: {vertex.name}.{port} is full ({limit:,} messages)"
    said += f", and is kept for {listed(keepers)}, though its readers have passed on"
    hint = "who holds a log has to keep up with it; a holder that is dead counts for half a minute at most"
    severity: Severity = "note" if facts.has_moved(vertex.name) else "warning"
    evidence = {"messages": limit, "holds": {one: facts.holds[one] for one in keepers}}
    return Finding("flow.held", severity, vertex.name, said, hint, port, evidence)


def _held(facts: Facts, vertex: VertexSpec, port: str) -> Finding:
    holders, limit = facts.holders(vertex.name, port), facts.spec.max_messages_per_subject
    evidence = {"messages": limit, "held_by": {one: _standing(facts, one) for one in holders}}
    said = f"is held back by {listed(holders)}: {vertex.name}.{port} is full ({limit:,} messages), and "
    moving = [one for one in holders if facts.has_moved(one)]
    if moving:
        said += " and ".join(f"{one} takes {facts.rate(one):,.0f} records/s" for one in moving)
        hint = f"the graph runs at the speed of {listed(moving)}; that is as it should be, unless it is too slow"
        return Finding("flow.back_pressure", "note", vertex.name, said, hint, port, evidence)
    said += f"{listed(holders)} {'has' if len(holders) == 1 else 'have'} taken nothing for {seconds(min(map(facts.age_s, holders)))}"
    last = _last_in_chain(facts, holders[0])
    hint = f"look at {last}: what is before it waits for it"
    if any(facts.is_full(last, one) and facts.is_passed(last, one) for one in facts.vertices[last].outputs):
        hint = f"{last} waits for room, as nobody trims what it has written"
    severity: Severity = "warning" if all(map(facts.is_idle, holders)) else "note"
    return Finding("flow.back_pressure", severity, vertex.name, said, hint, port, evidence)


def _standing(facts: Facts, vertex: str) -> dict[str, float]:
    return {"lag": facts.lag(vertex), "records_per_s": round(facts.rate(vertex), 1), "idle_s": round(facts.age_s(vertex), 1)}


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
