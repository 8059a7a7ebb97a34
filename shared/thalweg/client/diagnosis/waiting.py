"""Vertices that wait for an input, or do not take what there is. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from thalweg.client.diagnosis.facts import Facts
from thalweg.client.diagnosis.findings import Finding, Severity
from thalweg.client.diagnosis.wording import BEGINNING, clock, event_time, listed, records, seconds
from thalweg.wire.receipts import delivered
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


def _for_input(facts: Facts, vertex: VertexSpec, edge: EdgeSpec) -> Finding:
    name = vertex.name
    roots = _idle_roots(facts, edge.src_vertex)
    age_s = min(map(facts.age_s, roots), default=0.0)
    is_mute = not roots and facts.commit(edge.src_vertex).promised == BEGINNING
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
    elif is_mute:
        said += f": {edge.src_vertex} works, and tells no time before its end"
    hint = "let the idle input send something, if only its time; combine by arrival or latest where order does not matter"
    lasts = facts.is_idle(name) and (is_mute or age_s >= facts.patience.idle_s)
    return Finding("flow.waits_for_watermark", "fault" if lasts else "note", name, said, hint, edge.key, evidence)


def _idle_roots(facts: Facts, vertex: str) -> list[str]:
    """Why an edge brings nothing: the sources behind its writer that move nothing, else the writer if it does not move."""
    sources = [one for one in facts.vertices if one in facts.upstream(vertex) and not facts.vertices[one].inputs]
    idle = [one for one in sources if not facts.commit(one).ended and not facts.has_moved(one) and not facts.is_blocked(one)]
    return idle or ([] if facts.has_moved(vertex) else [vertex])


def _takes_nothing(facts: Facts, vertex: VertexSpec) -> Finding:
    name, lag, age_s = vertex.name, facts.lag(vertex.name), facts.age_s(vertex.name)
    commit = facts.commit(name)
    evidence: dict[str, Any] = {"lag": lag, "records_in": commit.counters.records_in, "idle_s": round(age_s, 1), "starts": commit.epoch}
    since = f"since {clock(facts.written_ns.get(name, facts.since_ns))} ({seconds(age_s)})"
    hint = f"one record may take it long, or its process is gone: `thalweg logs {facts.spec.name} {name}`"
    severity: Severity = "fault" if age_s >= facts.patience.start_s and not commit.claim else "warning"
    if commit.claim:
        hint = f"it was started then, and may still be setting up: `thalweg logs {facts.spec.name} {name}`"
    if not facts.is_sink(vertex):
        said = f"has {records(lag)} to take, and has taken none {since}"
        return Finding("vertex.stuck", severity, name, said, hint, evidence=evidence)
    sent = delivered(vertex, commit)
    taken = commit.counters.records_in if sent is None else sent.count
    by = f", the last by {sent.target}" if sent is not None and sent.target else ""
    said = f"has confirmed {f'{taken:,} of ' if taken else 'none of '}{records(facts.given(name))}{by}, nothing {since}"
    evidence |= {"delivered": sent.count, "target": sent.target} if sent is not None else {}
    if sent is not None and not commit.claim:
        hint = f"its target may be away; it tries again for as long as it is to: `thalweg logs {facts.spec.name} {name}`"
    return Finding("sink.not_confirmed", severity, name, said, hint, evidence=evidence)


def _does_not_end(facts: Facts, vertex: VertexSpec) -> Finding:
    age_s = facts.age_s(vertex.name)
    said = f"has taken all there is, and has not come to its end for {seconds(age_s)}"
    hint = f"it may be storing its files, or work at its end: `thalweg logs {facts.spec.name} {vertex.name}`"
    if vertex.generated:
        hint = f"is the file store reachable? It waits for it: `thalweg logs {facts.spec.name} {vertex.name}`"
    evidence = {"records_in": facts.commit(vertex.name).counters.records_in, "idle_s": round(age_s, 1), "files": dict(vertex.generated)}
    return Finding("vertex.not_ended", "warning", vertex.name, said, hint, evidence=evidence)
