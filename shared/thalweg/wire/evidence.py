"""The evidence of a run: one document with every pin, from the spec that ran and the last commits of its vertices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

import msgspec

from thalweg.errors import RejectedError
from thalweg.graph.partitions import partition_of
from thalweg.wire.capturing import Captured
from thalweg.wire.commit import Commit
from thalweg.wire.log_record import KeptLogs
from thalweg.wire.receipts import RECEIPTS, delivered
from thalweg.wire.spec import DeploymentSpec, VertexSpec

FORMAT = "thalweg-evidence/1"
Sync = Literal["always", "declared-always", "declared-lazy", "never", "unknown"]
"""When the server has synced what it has acknowledged to disk. One that was not started by us cannot be asked: what
was declared of it, else `unknown`."""


def build(
    spec: DeploymentSpec,
    commits: Mapping[str, Commit],
    evidence_id: str,
    finished_ns: int,
    sync: Sync,
    captured: Captured | None = None,
    logs: KeptLogs | None = None,
) -> dict[str, Any]:
    """The document, not signed yet: JSON values alone. It holds nothing that is secret.

    Args:
        spec: what ran.
        commits: the newest of each vertex.
        evidence_id: what the document is called.
        finished_ns: when the run was over.
        sync: of the server that holds the log.
        captured: what became of its capture; None where there was none.
        logs: what its vertices have logged; None where that is nothing.
    """
    expectations = [_judged(spec, commits, index) for index in range(len(spec.expect))]
    return {
        "format": FORMAT,
        "id": evidence_id,
        "workspace": spec.workspace,
        "deployment": spec.name,
        "generation": spec.generation,
        "backend": spec.backend,
        "revision": spec.revision,
        "graph_digest": spec.graph_digest,
        "deployed_ns": spec.deployed_ns,
        "finished_ns": finished_ns,
        "storage": spec.storage,
        "replicas": spec.replicas,
        "sync": "never" if spec.storage == "memory" else sync,
        "replay": msgspec.to_builtins(captured) if captured is not None else None,
        "logs": msgspec.to_builtins(logs) if logs is not None else None,
        # As text: canonical JSON sorts keys, and a component may mean the order within a param (columns of a table).
        "spec": msgspec.json.encode(spec).decode(),
        "releases": {one.component: one.digest for one in spec.vertices},
        "input_artifacts": sorted({file.artifact for one in spec.vertices for file in one.files.values()}),
        "vertices": {one.name: _vertex(one, commits.get(one.name)) for one in spec.vertices},
        "not_deterministic": [one.name for one in spec.vertices if not one.deterministic],
        "redeployed": [one.name for one in spec.vertices if one.generation > 1],
        "reprocessed": {
            one.name: {"from": one.rewind.position, "state": one.rewind.state, "generation": one.rewind.generation}
            for one in spec.vertices
            if one.rewind is not None
        },
        "expectations": expectations,
        "verdict": _verdict(spec, commits, expectations),
    }


_LATER = ("id", "finished_ns", "replay", "logs")  # is not known yet when a replay is closed, as evidence names that by its digest


def account(spec: DeploymentSpec, commits: Mapping[str, Commit], sync: Sync) -> dict[str, Any]:
    """What the evidence of a run will say, as far as it is known when its replay is closed."""
    document = build(spec, commits, "", 0, sync)
    return {name: value for name, value in document.items() if name not in _LATER}


def account_faults(told: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    """In what an account says otherwise than the evidence, as lines; a run may have been promoted to another owner in between."""
    told, document = dict(told), dict(document)
    specs = [_unowned(one.pop("spec", "")) for one in (told, document)]
    lines = [f"{name} is another one than in the evidence" for name in told if told[name] != document.get(name)]
    return lines + (["what ran is another graph than in the evidence"] if specs[0] != specs[1] else [])


def _unowned(spec: str) -> str | DeploymentSpec:
    try:
        return msgspec.structs.replace(msgspec.json.decode(spec, type=DeploymentSpec), lease="", desired="running")
    except msgspec.DecodeError:
        return spec


def _vertex(spec: VertexSpec, commit: Commit | None) -> dict[str, Any]:
    commit = commit or Commit(epoch=0, number=0)
    return {
        "release": spec.component,
        "digest": spec.digest,
        "params": spec.params,
        "files": {slot: file.artifact for slot, file in spec.files.items()},
        "records_in": commit.counters.records_in,
        "records_out": commit.counters.records_out,
        "dead": commit.counters.dead,
        "redriven": commit.counters.redriven,
        "given_up": commit.counters.given_up,
        "late": commit.counters.late,
        "dropped": commit.counters.dropped,
        "errors": commit.counters.errors,
        "ports": {port: {"count": stored.count, "digest": stored.digest} for port, stored in sorted(commit.ports.items())},
        "delivered": asdict(sent) if (sent := delivered(spec, commit)) is not None else None,
        "generated": {slot: msgspec.to_builtins(one) for slot, one in sorted(commit.generated.items())},
        "missing": commit.missing,
        "undeclared": commit.undeclared,
        "ended": commit.ended,
        "retired": spec.retired,
        "drained": commit.drained,
        "failure": commit.failure.code if commit.failure is not None else None,
    }


def port_count(commits: Mapping[str, Commit], vertex: str, port: str) -> int:
    """Records that a vertex has written to a port, all of its partitions together."""
    parts = [commit for name, commit in commits.items() if partition_of(name)[0] == vertex]
    return sum(commit.ports[port].count for commit in parts if port in commit.ports)


def _judged(spec: DeploymentSpec, commits: Mapping[str, Commit], index: int) -> dict[str, Any]:
    one = spec.expect[index]
    count = port_count(commits, one.vertex, one.port)
    is_met = (one.min is None or count >= one.min) and (one.max is None or count <= one.max)
    return {"vertex": one.vertex, "port": one.port, "min": one.min, "max": one.max, "count": count, "met": is_met}


def _verdict(spec: DeploymentSpec, commits: Mapping[str, Commit], expectations: list[dict[str, Any]]) -> str:
    if not spec.has_ended(commits):
        return "not finished"
    is_whole = not any(commits[one.name].missing for one in spec.vertices)  # a declared file is an expectation, too
    return "met" if is_whole and all(one["met"] for one in expectations) else "not met"


def spec_from(document: Mapping[str, Any]) -> DeploymentSpec:
    """The spec that a document pins, for another run of the same; a source that was drained ends after as many records.

    Raises:
        RejectedError: `evidence.unreadable`, or `evidence.from_outside`: its input was nobody's file.
    """
    try:
        spec = msgspec.json.decode(document["spec"], type=DeploymentSpec)
        vertices = [_as_it_ran(one, document["vertices"][one.name]) for one in spec.vertices]
    except (KeyError, TypeError, AttributeError, msgspec.DecodeError) as error:
        raise RejectedError(f"this is no evidence: {error!r}", code="evidence.unreadable") from error
    if spec.is_traced:
        (name, *_) = (one.name for one in vertices if one.endpoint == "in")
        raise RejectedError(f"{name} had its records from outside, and they are not kept", code="evidence.from_outside")
    return msgspec.structs.replace(spec, vertices=vertices, desired="running", generation=1)


def _as_it_ran(vertex: VertexSpec, ran: Mapping[str, Any]) -> VertexSpec:
    stop_after = ran["records_in"] if ran["drained"] else vertex.stop_after
    return msgspec.structs.replace(vertex, stop_after=stop_after, generation=1)


def differences(document: Mapping[str, Any], again: Mapping[str, Any]) -> list[str]:
    """What another run put out otherwise, as lines: ports by count and digest, receipts by count, generated files by content."""
    lines: list[str] = []
    for name, before in document["vertices"].items():
        after = again["vertices"].get(name, {"ports": {}, "generated": {}})
        for port, old in before["ports"].items():
            new = after["ports"].get(port, {"count": 0, "digest": ""})
            if old["count"] != new["count"]:
                lines.append(f"{name}.{port}: {old['count']:,} records, now {new['count']:,}")
            elif old["digest"] != new["digest"] and not is_receipts(document, name, port):
                lines.append(f"{name}.{port}: {old['count']:,} records with digest {old['digest'][:12]}, now {new['digest'][:12]}")
        for slot, old in before["generated"].items():
            new = after["generated"].get(slot, {"artifact": "none", "size_bytes": 0})
            if old["artifact"] != new["artifact"]:
                lines.append(
                    f"{name}: generated file {slot} ({old['name']}) was {old['artifact'][:19]}…, {old['size_bytes']:,} bytes, "
                    f"now {new['artifact'][:19]}…, {new['size_bytes']:,} bytes"
                )
    return lines


def is_receipts(document: Mapping[str, Any], vertex: str, port: str) -> bool:
    """Whether a port has receipts: what a target says is no part of what is reproduced."""
    return port == RECEIPTS and document["vertices"].get(vertex, {}).get("delivered") is not None
