"""Vertices that do not work: failed, not started, crashing, going round in a circle. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from thalweg.client.diagnosis.facts import Facts
from thalweg.client.diagnosis.findings import Finding
from thalweg.client.diagnosis.wording import clock, records, seconds
from thalweg.wire.spec import VertexSpec

_CODES = {"graph.stalled": "graph.stalled", "vertex.crash_loop": "vertex.crash_looping"}
MANY_STARTS = 3
CRASH_PAUSE_S = 10.0  # longer than a coordinator waits before it starts a vertex again


def find_broken(facts: Facts, vertex: VertexSpec) -> Iterator[Finding]:
    """What keeps a vertex from working at all."""
    if facts.has_failed(vertex.name):
        yield _failed(facts, vertex)
    elif vertex.name not in facts.commits:
        if not facts.is_over:
            yield _not_started(facts, vertex)
    elif not facts.is_over and not facts.commit(vertex.name).ended:
        yield from _shaky(facts, vertex)


def _failed(facts: Facts, vertex: VertexSpec) -> Finding:
    commit = facts.commit(vertex.name)
    failure = commit.failure
    assert failure is not None
    evidence: dict[str, Any] = {"code": failure.code, "error": failure.message, "records_in": commit.counters.records_in}
    if vertex.name in facts.written_ns:
        evidence["at"] = clock(facts.written_ns[vertex.name])
    code = _CODES.get(failure.code, "vertex.failed")
    sample = facts.failing.get(vertex.name)
    if sample is not None:  # of a process that died it is not known whether it was that record
        record = {"edge": sample.edge, "sequence": sample.sequence, "index": sample.index, "value": sample.value}
        evidence["record" if code == "vertex.failed" else "next"] = record
    hint = failure.hint or "correct its component or params, then `thalweg redeploy`: it goes on before that record"
    if facts.is_gone:
        hint = failure.hint or "correct its component or params, then deploy it again"
    return Finding(code, "fault", vertex.name, _said(vertex.name, failure.message), hint, evidence=evidence)


def _said(vertex: str, message: str) -> str:
    """The first line of what a vertex said, which names it already."""
    line = message.split("\n", 1)[0]
    return f"has failed: {line.removeprefix(f'{vertex}: ')}"


def _not_started(facts: Facts, vertex: VertexSpec) -> Finding:
    age_s = facts.deployed_s
    evidence = {"deployed_s": round(age_s, 1), "coordinator": facts.has_coordinator}
    if age_s < facts.patience.start_s:
        said = f"is starting, {seconds(age_s)} after the deployment"
        return Finding("vertex.starting", "note", vertex.name, said, evidence=evidence)
    said = f"has said nothing in the {seconds(age_s)} since it was deployed"
    hint = f"`thalweg logs {facts.spec.name} {vertex.name}` shows what its process has printed"
    if not facts.has_coordinator:
        hint = "no coordinator answers that would start it: `thalweg up`"
    return Finding("vertex.not_started", "fault", vertex.name, said, hint, evidence=evidence)


def _shaky(facts: Facts, vertex: VertexSpec) -> Iterator[Finding]:
    commit, name = facts.commit(vertex.name), vertex.name
    if facts.stall is not None and facts.stall[0] == name:
        _, empty, full = facts.stall
        said = f"waits for {empty} for ever: nothing more can come there, as {full} is full"
        hint = f"{empty} drops or holds back records: combine by latest or event-time instead of zip, or do not filter it"
        yield Finding("graph.stalled", "fault", name, said, hint, empty, {"empty": empty, "full": full})
    if commit.generation < vertex.generation:
        said = f"is still what it was in generation {commit.generation}; generation {vertex.generation} is to take over"
        yield Finding("vertex.changing", "note", name, said, evidence={"generation": commit.generation, "wanted": vertex.generation})
    if _is_crashing(facts, vertex):
        said = f"was started {commit.epoch:,} times, and has written nothing since the last start"
        counted = {"starts": commit.epoch, "records_in": commit.counters.records_in, "since_s": round(facts.age_s(name), 1)}
        hint = f"`thalweg logs {facts.spec.name} {name}` shows how it ended; after {records(commit.counters.records_in)} it gets no further"
        yield Finding("vertex.crash_looping", "fault", name, said, hint, evidence=counted)


def _is_crashing(facts: Facts, vertex: VertexSpec) -> bool:
    """Started again and again without getting further. Redeploys and restarts of the machine start vertices too, but not in a row."""
    commit, before = facts.commit(vertex.name), facts.earlier.get(vertex.name)
    if not commit.claim or commit.epoch - commit.generation < MANY_STARTS - 1:
        return False
    is_again = before is not None and before.epoch < commit.epoch
    return is_again or (facts.lag(vertex.name) > 0 and facts.age_s(vertex.name) < CRASH_PAUSE_S)
