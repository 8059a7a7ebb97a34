"""Diagnoses a deployment that is gone, from its teardown's report and evidence. Pure, but for reading them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
from pydantic import ValidationError

from thalweg.api.deployments import Report
from thalweg.bus.buckets import Bucket
from thalweg.bus.connection import Client
from thalweg.client.diagnosis.answering import answering
from thalweg.client.diagnosis.facts import Facts
from thalweg.client.diagnosis.findings import Diagnosis, Finding, in_order
from thalweg.client.diagnosis.flow import diagnose
from thalweg.client.diagnosis.wording import clock, listed
from thalweg.errors import RejectedError
from thalweg.wire import subjects
from thalweg.wire.commit import Commit, Counters, Failure, Generated, PortDigest
from thalweg.wire.spec import DeploymentSpec, VertexSpec

MAX_OWNERS = 100


async def read_gone(client: Client, workspace: str, name: str) -> tuple[Report, dict[str, Any] | None] | None:
    """The newest teardown's report of a name, and its evidence; None where nothing of that name was torn down."""
    reports, evidence = (Bucket(client, subjects.bucket(workspace, kind)) for kind in ("reports", "evidence"))
    async with answering():
        bodies = await _of_all_owners(reports, name)
        try:
            found = [Report.model_validate_json(body) for body in bodies]
        except ValidationError as error:
            raise RejectedError(f"the report of {name} cannot be read", code="report.unreadable") from error
        if not found:
            return None
        report = max(found, key=lambda one: one.time_ns)
        documents = await _of_all_owners(evidence, report.evidence) if report.evidence is not None else []
    return report, json.loads(documents[0]) if documents else None


async def _of_all_owners(bucket: Bucket, key: str) -> list[bytes]:
    """What the workspace and leases have under a key."""
    found = await bucket.items([key, *(await bucket.keys(f"{key}.*"))[:MAX_OWNERS]])
    return list(found.values())


def diagnose_gone(report: Report, document: dict[str, Any] | None, towards: str | None = None) -> Diagnosis:
    """Where its flow ended, and what became of its files.

    Args:
        report: of the teardown.
        document: its evidence; None where it was discarded.
        towards: as for `diagnose`.
    """
    facts = facts_of(report, document) if document is not None else None
    if facts is None:
        return _without_evidence(report)
    if towards is not None and towards not in facts.vertices:
        raise RejectedError(
            f"deployment {report.name} had no vertex {towards}", code="vertex.unknown", hint=f"it had {listed(list(facts.vertices))}"
        )
    found = diagnose(facts, towards)
    return replace(found, findings=in_order([*found.findings, _torn_down(report)], list(facts.vertices)))


def facts_of(report: Report, document: dict[str, Any]) -> Facts:
    """What evidence says, as if it was observed."""
    try:
        spec = msgspec.json.decode(document["spec"], type=DeploymentSpec)
        by_name = {one.name: one for one in spec.vertices}
        commits = {name: _commit(by_name[name], one, report) for name, one in document["vertices"].items()}
    except (msgspec.DecodeError, LookupError, TypeError, AttributeError) as error:
        raise RejectedError(f"the evidence {report.evidence} cannot be read", code="evidence.unreadable") from error
    unstarted = {name for name in report.unfinished if not commits[name].counters.records_in and not commits[name].ports}
    kept = {name: commit for name, commit in commits.items() if name not in unstarted or commit.failure is not None}
    return Facts(spec, kept, now_ns=report.time_ns, since_ns=report.deployed_ns, is_gone=True)


def _commit(vertex: VertexSpec, told: dict[str, Any], report: Report) -> Commit:
    """The last commit of a vertex, as far as evidence has it; what it filtered follows from the rest where it gave nothing."""
    counters = Counters(
        records_in=told["records_in"],
        records_out=told["records_out"],
        dead=told["dead"],
        late=told["late"],
        dropped=told.get("dropped", 0),
        errors=told["errors"],
    )
    if vertex.outputs and vertex.inputs and not counters.records_out:
        counters.filtered = counters.records_in - counters.dead
    failure = None
    if told["failure"] is not None:
        said = report.failure or ""
        failure = Failure(said if said.startswith(f"{vertex.name}:") else f"{vertex.name}: {told['failure']}", told["failure"])
    return Commit(
        epoch=1,
        number=1,
        ended=told["ended"] or vertex.retired > 0,
        counters=counters,
        ports={port: PortDigest(one["count"], one["digest"]) for port, one in told["ports"].items()},
        generated={slot: msgspec.convert(one, Generated) for slot, one in told["generated"].items()},
        failure=failure,
        generation=vertex.generation,
        drained=told["drained"],
        missing=told["missing"],
        undeclared=told["undeclared"],
    )


def _torn_down(report: Report) -> Finding:
    evidence = {"outcome": report.outcome, "evidence": report.evidence, "unfinished": report.unfinished}
    said = f"the deployment was undeployed at {clock(report.time_ns)}: {report.outcome}"
    hint = f"`thalweg evidence show {report.evidence}` has every count" if report.evidence else None
    return Finding("deployment.gone", "note", None, said, hint, evidence=evidence)


def _without_evidence(report: Report) -> Diagnosis:
    said = f"the deployment was discarded at {clock(report.time_ns)}: nothing was finished, nothing is saved"
    if report.unfinished:
        said += f"; {listed(report.unfinished)} had not ended"
    hint = f"deploy it again, and leave --discard out: `thalweg deploy {report.backend} --name {report.name}`"
    found = Finding("file.discarded", "fault", None, said, hint, evidence={"unfinished": report.unfinished, "missing": report.missing})
    return Diagnosis(report.name, report.backend, report.generation, "gone", [], [], [found])
