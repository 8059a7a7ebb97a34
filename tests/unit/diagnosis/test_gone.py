"""What a teardown's report and evidence tell of files that are not there."""

from __future__ import annotations

from typing import Any

from thalweg.api.deployments import Report
from thalweg.client.diagnosis import Diagnosis, Finding
from thalweg.client.diagnosis.gone import diagnose_gone
from thalweg.wire.commit import Commit, Failure, Generated
from thalweg.wire.evidence import build
from thalweg.wire.spec import DeploymentSpec
from unit.diagnosis.observed import NOW, edge, said, vertex

STORED = Generated("kept.txt", f"sha256:{'a' * 64}", 12)
SINK = vertex("save", edge("keep"), outputs=(), generated={"kept": "save-kept.txt", "summary": "save-summary.txt"})
GRAPH = [vertex("rows"), vertex("keep", edge("rows"), params={"where": "n > 900"}), SINK]
SPEC = DeploymentSpec("w", "d", "b", GRAPH, revision=1, deployed_ns=NOW)
GOOD = {"rows": said(9, 9, ended=True), "keep": said(9, 9, ended=True)}


def gone(save: Commit | None, outcome: Any = "finished", failure: str | None = None, **commits: Commit) -> Diagnosis:
    known = {**GOOD, **commits} | ({"save": save} if save is not None else {})
    unfinished = [name for name in ("rows", "keep", "save") if name not in known or not known[name].ended]
    report = Report(
        name="d", backend="b", revision=1, generation=1, deployed_ns=NOW, time_ns=NOW, outcome=outcome, unfinished=unfinished,
        failure=failure, evidence=None if outcome == "discarded" else "d-1",
    )  # fmt: skip
    return diagnose_gone(report, None if outcome == "discarded" else build(SPEC, known, "d-1", NOW, "always"))


def of(told: Diagnosis, code: str) -> Finding:
    (one,) = (one for one in told.findings if one.code == code)
    return one


def test_a_file_that_was_saved_is_told_with_where_it_is() -> None:
    told = gone(said(9, ended=True, generated={"kept": STORED, "summary": STORED}))
    assert told.is_healthy and told.state == "gone"
    one = next(one for one in told.findings if one.code == "file.saved")
    assert one.evidence["artifact"] == STORED.artifact and one.hint is not None and f"file get {STORED.artifact}" in one.hint


def test_a_file_under_a_name_that_is_nearly_right_is_told_beside_the_declared_one() -> None:
    told = gone(said(9, ended=True, generated={"kept": STORED}, missing=["summary"], undeclared=["out/sumary.txt"]))
    missing, near = of(told, "file.not_written"), of(told, "file.undeclared")
    assert missing.severity == "fault" and missing.sentence.endswith("it has written out/sumary.txt instead")
    assert near.place == "summary" and "save-summary.txt" in near.sentence


def test_a_file_that_was_not_written_for_want_of_records_leads_to_where_they_stopped() -> None:
    told = gone(said(0, ended=True, missing=["kept", "summary"]), keep=said(9, 0, filtered=9, ended=True))
    assert [one.code for one in told.findings][:3] == ["flow.filtered_all", "file.not_written", "file.not_written"]
    assert told.ends[0].stops_at == "keep" and "it has got no records" in told.findings[1].sentence


def test_a_source_that_was_drained_before_its_first_record_is_why() -> None:
    told = gone(said(ended=True, missing=["kept", "summary"]), rows=said(ended=True, drained=True), keep=said(ended=True))
    assert told.findings[0].code == "source.drained_early"


def test_a_file_whose_vertex_had_not_ended_is_told_with_who_failed() -> None:
    failed = said(4, 4, failure=Failure("keep: record 5: ValueError: no", "component.raised"))
    told = gone(said(4), "failed", "keep: record 5: ValueError: no", keep=failed)
    assert [(one.code, one.vertex) for one in told.findings if one.severity == "fault"] == [
        ("vertex.failed", "keep"),
        ("file.not_finished", "save"),
        ("file.not_finished", "save"),
    ]
    assert "record 5: ValueError: no" in told.findings[0].sentence and "keep failed before" in told.findings[1].sentence
    never = gone(None, "failed", "keep: record 5: ValueError: no", keep=failed)
    assert ("file.not_finished", "save") in [(one.code, one.vertex) for one in never.findings]


def test_what_was_discarded_is_told_to_be_gone() -> None:
    told = gone(said(4), "discarded")
    assert [(one.code, one.severity) for one in told.findings] == [("file.discarded", "fault")]
