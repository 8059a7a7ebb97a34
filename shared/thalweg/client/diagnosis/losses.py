"""Vertices that get records and give none, or lose some: filtered, dead, late, held in windows. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from thalweg.client.diagnosis.facts import Facts, Sample
from thalweg.client.diagnosis.findings import Finding, Severity
from thalweg.client.diagnosis.naming import Named, fields_named
from thalweg.client.diagnosis.wording import event_time, listed, records
from thalweg.wire.spec import VertexSpec

MAX_NAMED, MAX_BRIEF = 5, 60  # fields in a sentence, characters of a value
MANY = 100  # records, before a vertex that goes on counts as letting none through


def find_losses(facts: Facts, vertex: VertexSpec) -> Iterator[Finding]:
    """What became of the records that a vertex has taken."""
    counters = facts.commit(vertex.name).counters
    taken = counters.records_in
    if counters.dead:
        yield _dead(facts, vertex)
    if counters.late:
        yield _late(facts, vertex)
    if counters.dropped:
        yield _dropped(facts, vertex)
    if not vertex.inputs or not vertex.outputs or not taken or facts.has_failed(vertex.name):
        return
    if counters.records_out == 0:
        if counters.dead < taken and counters.late < taken and not facts.commit(vertex.name).waits_for:
            yield _held(facts, vertex) if _is_held(facts, vertex) else _filtered(facts, vertex)
    else:
        yield from _empty_ports(facts, vertex)


def _is_held(facts: Facts, vertex: VertexSpec) -> bool:
    return facts.emits_aside(vertex.name) and not facts.commit(vertex.name).ended


def _dead(facts: Facts, vertex: VertexSpec) -> Finding:
    counters = facts.commit(vertex.name).counters
    evidence: dict[str, Any] = {"dead": counters.dead, "records_in": counters.records_in}
    sample = facts.dead.get(vertex.name)
    why = ""
    if sample is not None:
        evidence["last"] = {"where": sample.where, "error": sample.error, "value": sample.value}
        place = sample.where or "a record"
        why = f"; the last one, {place}: {(sample.error or '').removeprefix(f'{place}: ')}"
    hint = f"correct what gives these records, or {vertex.name}: `thalweg dead-letters list {facts.spec.name} {vertex.name}`"
    evidence["open"] = counters.open_letters
    if counters.dead >= counters.records_in:
        said = f"has put all {records(counters.dead)} aside as dead letters{why}"
        return Finding("flow.dead_all", "fault", vertex.name, said, hint, evidence=evidence)
    said = f"has put {counters.dead:,} of {records(counters.records_in)} aside as dead letters{why}"
    return Finding("flow.dead_some", "warning", vertex.name, said, hint, evidence=evidence)


def _late(facts: Facts, vertex: VertexSpec) -> Finding:
    counters = facts.commit(vertex.name).counters
    watermark = facts.commit(vertex.name).watermark
    evidence = {"late": counters.late, "records_in": counters.records_in, "watermark": event_time(watermark), "params": _times(vertex)}
    said = f"has dropped {counters.late:,} of {records(counters.records_in)} as late: its event time had passed theirs"
    hint = "raise lateness_s, or put sort-by-time before it" if "lateness_s" in vertex.params else "put sort-by-time before it"
    is_all = counters.late >= counters.records_in
    return Finding("flow.late_all" if is_all else "flow.late", "fault" if is_all else "warning", vertex.name, said, hint, evidence=evidence)


def _dropped(facts: Facts, vertex: VertexSpec) -> Finding:
    counters = facts.commit(vertex.name).counters
    evidence = {"dropped": counters.dropped, "records_in": counters.records_in}
    said = f"has let go of {records(counters.dropped)} for want of room, and taken {counters.records_in:,}"
    hint = "what reads it is slower than what comes: take less (every, max_fps, a smaller size), or make its readers faster"
    return Finding("flow.dropped", "warning", vertex.name, said, hint, evidence=evidence)


def _filtered(facts: Facts, vertex: VertexSpec) -> Finding:
    counters, name = facts.commit(vertex.name).counters, vertex.name
    ended = facts.commit(name).ended or facts.is_over
    sample = facts.rejected.get(name)
    named = fields_named(vertex.params, sample.value if sample is not None else None)
    evidence: dict[str, Any] = {"records_in": counters.records_in, "filtered": counters.filtered, "params": _quoted(vertex, named)}
    if sample is not None:
        evidence["rejected"] = _record(sample)
        evidence["fields"] = {one.field: one.value for one in named}
    said = f"has let none of {records(counters.records_in)} through{'' if ended else ' so far'}"
    if counters.dead:
        said += f", {counters.dead:,} of them dead letters"
    conditions = [f"{place}: {text}" for place, text in evidence["params"].items()]
    if conditions:
        said += f", by {listed(conditions)}"
    if named:
        said += f"; the last one had {', '.join(f'{one.field} = {_brief(one.value)}' for one in named[:MAX_NAMED])}"
    hint = "is the condition what you mean, in the units of these values? `thalweg tap --where` tries others on what comes in"
    if len(vertex.inputs) > 1:
        hint = "none met a partner: compare keys and event times of its inputs"
    severity: Severity = "fault" if ended else "warning" if counters.records_in >= MANY else "note"
    return Finding("flow.filtered_all", severity, name, said, hint, evidence=evidence)


def _held(facts: Facts, vertex: VertexSpec) -> Finding:
    commit, name = facts.commit(vertex.name), vertex.name
    held, time, params = records(commit.counters.records_in), event_time(commit.watermark), _times(vertex)
    marks = {edge.key: event_time(facts.commit(edge.src_vertex).promised) for edge in vertex.inputs if edge.src_vertex in facts.commits}
    evidence = {"records_in": commit.counters.records_in, "watermark": time, "inputs": marks, "params": params}
    if params.get("window") == "none":
        said = f"has taken {held}, and gives what it makes of them at the end of its input, which has not come"
        return Finding("flow.window_open", "note", name, said, "choose a window to have some before", evidence=evidence)
    said = f"holds {held} in windows that have not closed: event time has come to {time}"
    said += f" ({', '.join(f'{key}: {value}' for key, value in params.items())})" if params else ""
    idle = _idle_sources(facts, name)
    if idle:
        said += f"; {listed(idle)} {'gives' if len(idle) == 1 else 'give'} nothing that would move it on"
    hint = "they close when a later record comes, or at the end of the stream; a shorter window or lateness_s closes sooner"
    evidence |= {"idle_sources": idle}
    return Finding("flow.window_open", "warning" if idle else "note", name, said, hint, evidence=evidence)


def _idle_sources(facts: Facts, vertex: str) -> list[str]:
    sources = [one for one in sorted(facts.upstream(vertex)) if not facts.vertices[one].inputs]
    return [one for one in sources if facts.is_idle(one) and not facts.commit(one).ended]


def _empty_ports(facts: Facts, vertex: VertexSpec) -> Iterator[Finding]:
    """Of several ports, those that somebody reads and that have had nothing."""
    empty = [port for port in vertex.outputs if not facts.port_count(vertex.name, port) and facts.readers(vertex.name, port)]
    ended = facts.commit(vertex.name).ended or facts.is_over
    if not empty or not (ended or facts.commit(vertex.name).counters.records_in >= MANY):
        return
    given = {port: facts.port_count(vertex.name, port) for port in vertex.outputs}
    told = ", ".join(f"{port} {count:,}" for port, count in given.items())
    for port in empty:
        said = f"has given nothing on its port {port} ({told})"
        yield Finding("flow.port_empty", "warning", vertex.name, said, "what it decides by goes all one way", port, {"ports": given})


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_BRIEF else f"{text[:MAX_BRIEF]}…"


def _record(sample: Sample) -> dict[str, Any]:
    return {"edge": sample.edge, "sequence": sample.sequence, "index": sample.index, "time_ns": sample.time_ns, "value": sample.value}


def _quoted(vertex: VertexSpec, named: list[Named]) -> dict[str, str]:
    """Params that name fields of the record; without a record, those that are conditions by their name."""
    if named:
        return {one.place: one.text for one in named}
    return {
        key: value[:500] for key, value in vertex.params.items() if key in ("where", "condition", "predicate") and isinstance(value, str)
    }


def _times(vertex: VertexSpec) -> dict[str, Any]:
    """Params that are about time."""
    wanted = ("window", "lateness_s", "time", "within_s", "size_s", "gap_s", "every_s")
    return {
        key: vertex.params[key] if not isinstance(vertex.params[key], dict) else _set(vertex.params[key])
        for key in wanted
        if vertex.params.get(key)
    }


def _set(value: dict[str, Any]) -> Any:
    """A window without the params that its kind does not have; a bare kind as one word."""
    given = {key: one for key, one in value.items() if one is not None}
    return given["kind"] if list(given) == ["kind"] else given
