"""Sources that give nothing: empty, silent, asked to end too soon. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from thalweg.client.diagnosis.facts import Facts
from thalweg.client.diagnosis.findings import Finding, Severity
from thalweg.client.diagnosis.wording import clock, listed, records, seconds
from thalweg.wire import subjects
from thalweg.wire.spec import VertexSpec


def find_dry(facts: Facts, vertex: VertexSpec) -> Iterator[Finding]:
    """Why a source has given nothing, or gives nothing now."""
    commit = facts.commits.get(vertex.name)
    if vertex.inputs or commit is None or facts.has_failed(vertex.name):
        return
    counters = commit.counters
    if commit.ended:
        if counters.records_out == 0 and counters.dead == 0:
            yield _empty(facts, vertex)
    elif not facts.is_over and facts.is_idle(vertex.name) and not facts.is_blocked(vertex.name):
        yield _silent(facts, vertex) if counters.records_out + counters.dead == 0 else _idle(facts, vertex)


def _empty(facts: Facts, vertex: VertexSpec) -> Finding:
    evidence: dict[str, Any] = {"files": _files(vertex)}
    if facts.commit(vertex.name).drained:
        said, hint = "was asked to end before it had given a record", "undeploy it later, or deploy it again"
        return Finding("source.drained_early", "fault", vertex.name, said, hint, evidence=evidence)
    files = [f"{slot} = {one['name']}" for slot, one in evidence["files"].items()]
    said = "has come to its end without a record" + (f": {listed(files)} holds none" if files else "")
    hint = "bind a file that has records" if files else "its params may leave nothing over; `thalweg logs` shows what it said"
    return Finding("source.empty", "fault", vertex.name, said, hint, evidence=evidence)


def _silent(facts: Facts, vertex: VertexSpec) -> Finding:
    age_s = facts.age_s(vertex.name)
    evidence = {"idle_s": round(age_s, 1), "files": _files(vertex)}
    if vertex.endpoint == "in":
        subject = subjects.inlet(facts.spec.workspace, facts.spec.name, vertex.name)
        said = f"has got nothing from outside in {seconds(age_s)}"
        hint = f"send to its URL, or publish msgpack to {subject}"
        return Finding("source.silent", "warning", vertex.name, said, hint, vertex.endpoint, {**evidence, "subject": subject})
    said = f"has given no record yet, and waits since {clock(facts.written_ns.get(vertex.name, facts.since_ns))} ({seconds(age_s)})"
    hint = f"does what it reads from send anything? `thalweg logs {facts.spec.name} {vertex.name}` shows what it has printed"
    severity: Severity = "fault" if age_s >= facts.patience.start_s else "warning"
    return Finding("source.silent", severity, vertex.name, said, hint, evidence=evidence)


def _idle(facts: Facts, vertex: VertexSpec) -> Finding:
    age_s = facts.age_s(vertex.name)
    count = facts.commit(vertex.name).counters.records_out
    said = f"has given {records(count)}, and none since {clock(facts.written_ns[vertex.name])} ({seconds(age_s)})"
    return Finding("source.idle", "note", vertex.name, said, evidence={"records_out": count, "idle_s": round(age_s, 1)})


def _files(vertex: VertexSpec) -> dict[str, dict[str, Any]]:
    return {
        slot: {"name": one.name, "artifact": one.artifact, "size_bytes": one.size_bytes or None}
        for slot, one in sorted(vertex.files.items())
    }
