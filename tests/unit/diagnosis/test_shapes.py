"""Every shape that a diagnosis knows, from facts alone, and healthy graphs that it must not mistake for one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from thalweg.client.diagnosis.facts import Facts, Sample
from thalweg.wire.commit import Failure
from unit.diagnosis.observed import ENDED, RUNNING, chain, diagnosed, edge, facts, found, said, subject, vertex

GONE_QUIET = {"rows": 60.0, "keep": 60.0, "save": 60.0}


def only(observed: Facts) -> Any:
    (one,) = diagnosed(observed).findings
    return one


@pytest.mark.parametrize(
    "observed",
    [
        facts(RUNNING),
        facts(ENDED, idle_s=GONE_QUIET),
        facts({**RUNNING, "save": said(20, port="_")}),  # behind, and moving
        facts({"rows": said(100, 100)} | {name: said(epoch=1) for name in ("keep", "save")}, deployed_s=1),
        facts({**RUNNING, "keep": said(50, 0, filtered=50)}, deployed_s=2),  # has hardly begun
        facts({}, deployed_s=1),
        facts({}, deployed_s=1, has_log=False),
        facts(RUNNING, full=("rows.out",)),  # as fast as its reader
        facts({**RUNNING, "rows": said(100, 100, epoch=9, claim=True)}, idle_s={"rows": 60}),  # idle after many restarts
    ],
)
def test_a_healthy_graph_gives_no_alarm(observed: Facts) -> None:
    told = diagnosed(observed)
    assert told.is_healthy, told.findings


def test_a_source_without_records_is_told_with_its_file() -> None:
    commits = {name: said(ended=True) for name in ENDED}
    one = only(facts(commits))
    assert (one.code, one.severity, one.vertex) == ("source.empty", "fault", "rows")
    assert diagnosed(facts(commits)).ends[0].stops_at == "rows"
    assert found(facts({**commits, "rows": said(ended=True, drained=True)})) == [("fault", "source.drained_early", "rows")]


def test_a_source_that_has_never_given_anything_is_told_once_it_should_have() -> None:
    commits = {name: said() for name in RUNNING}
    assert found(facts(commits, idle_s={"rows": 2.0})) == []
    assert found(facts(commits, idle_s={"rows": 8.0})) == [("warning", "source.silent", "rows")]
    assert found(facts(commits, idle_s={"rows": 40.0})) == [("fault", "source.silent", "rows")]


def test_a_source_that_gives_nothing_any_more_is_noted() -> None:
    assert found(facts(RUNNING, idle_s=GONE_QUIET)) == [("note", "source.idle", "rows")]


def test_a_predicate_that_filters_all_is_told_beside_a_record_that_it_rejected() -> None:
    keep = vertex("keep", edge("rows"), params={"where": 'celsius > 100 && room == "attic"'})
    graph = [vertex("rows"), keep, vertex("save", edge("keep"), outputs=())]
    commits = {"rows": ENDED["rows"], "keep": said(100, 0, filtered=100, ended=True), "save": said(ended=True, port="_")}
    sample = Sample("rows.out>in", 7, 3, 5, {"n": 4, "celsius": 23.5, "room": "hall"})
    one = only(facts(commits, graph, rejected={"keep": sample}))
    assert (one.code, one.severity, one.vertex) == ("flow.filtered_all", "fault", "keep")
    assert one.evidence["fields"] == {"celsius": 23.5, "room": "hall"}
    assert one.evidence["params"] == {"where": 'celsius > 100 && room == "attic"'}
    assert (one.evidence["records_in"], one.evidence["filtered"]) == (100, 100)
    assert one.evidence["rejected"]["value"] == sample.value and "celsius = 23.5" in one.sentence
    end = diagnosed(facts(commits, graph)).ends[0]
    assert (end.vertex, end.records, end.stops_at, end.path) == ("save", 0, "keep", ["rows", "keep", "save"])


def test_a_predicate_that_has_let_none_through_so_far_is_a_warning_at_most() -> None:
    commits = {**RUNNING, "rows": said(500, 500), "keep": said(500, 0, filtered=500), "save": said(port="_")}
    assert found(facts(commits)) == [("warning", "flow.filtered_all", "keep")]


def test_a_vertex_that_fails_is_told_with_its_error_and_the_record() -> None:
    failure = Failure("keep: record 11: ValueError: too hot", "component.raised", "set on_error")
    commits = {**RUNNING, "keep": said(10, 10, failure=failure)}
    sample = Sample("rows.out>in", 4, 10, 5, {"celsius": 99})
    told = diagnosed(facts(commits, failing={"keep": sample}, idle_s=GONE_QUIET, full=("rows.out",)))
    (one,) = told.findings
    assert (told.state, one.code, one.vertex, one.hint) == ("failed", "vertex.failed", "keep", "set on_error")
    assert one.evidence["record"]["value"] == {"celsius": 99} and one.sentence.endswith("record 11: ValueError: too hot")


def test_a_failure_before_a_redeploy_is_none() -> None:
    failure = Failure("keep: record 11: ValueError: too hot", "component.raised")
    graph = [vertex("rows"), vertex("keep", edge("rows"), generation=2), vertex("save", edge("keep"), outputs=())]
    commits = {**RUNNING, "keep": said(10, 10, failure=failure)}
    assert found(facts(commits, graph)) == [("note", "vertex.changing", "keep")]


def test_crash_loops_are_told_while_they_last_and_when_they_are_given_up() -> None:
    again = {**RUNNING, "keep": said(0, 0, claim=True, epoch=4)}
    observed = facts(again)
    assert ("fault", "vertex.crash_looping", "keep") in found(observed)
    given_up = {**RUNNING, "keep": said(0, 0, epoch=7, failure=Failure("keep: died 6 times", "vertex.crash_loop"))}
    assert found(facts(given_up)) == [("fault", "vertex.crash_looping", "keep")]


def test_a_vertex_that_has_never_said_anything_is_told_once_it_should_have() -> None:
    commits = {name: one for name, one in RUNNING.items() if name != "save"}
    assert found(facts(commits, deployed_s=3)) == [("note", "vertex.starting", "save")]
    assert found(facts(commits)) == [("fault", "vertex.not_started", "save")]


def test_dead_letters_are_told_with_the_last_one() -> None:
    letter = Sample("", 9, 0, None, "not a row", "'x' is not int", "row 3")
    commits = {"rows": said(100, 0, dead=100, ended=True), "keep": said(ended=True), "save": said(ended=True)}
    one = only(facts(commits, dead={"rows": letter}))
    assert (one.code, one.severity) == ("flow.dead_all", "fault") and "row 3: 'x' is not int" in one.sentence
    some = {**ENDED, "keep": said(100, 60, dead=2, filtered=38, ended=True)}
    assert found(facts(some)) == [("warning", "flow.dead_some", "keep")]


def test_what_a_live_source_drops_is_told() -> None:
    assert found(facts({**ENDED, "rows": said(100, 100, dropped=7, ended=True)})) == [("warning", "flow.dropped", "rows")]


def test_late_records_are_told() -> None:
    assert found(facts({**ENDED, "keep": said(100, 60, late=7, ended=True)})) == [("warning", "flow.late", "keep")]
    commits = {**ENDED, "keep": said(100, 0, late=100, filtered=100, ended=True), "save": said(ended=True)}
    assert found(facts(commits)) == [("fault", "flow.late_all", "keep")]


def test_a_window_that_has_not_closed_is_no_predicate() -> None:
    commits = {**RUNNING, "keep": said(100, 0, filtered=100, time_ns=50, watermark=50), "save": said()}
    assert found(facts(commits)) == [("note", "flow.window_open", "keep")]
    assert ("warning", "flow.window_open", "keep") in found(facts(commits, idle_s=GONE_QUIET))
    graph = [
        vertex("rows"),
        vertex("keep", edge("rows"), params={"window": {"kind": "none", "size_s": None}}),
        vertex("save", edge("keep"), outputs=()),
    ]
    assert ("note", "flow.window_open", "keep") in found(facts(commits, graph, idle_s={"rows": 60.0}))


MERGE = [vertex("rows"), vertex("other"), vertex("both", edge("rows", "a"), edge("other", "b")), vertex("save", edge("both"), outputs=())]


def test_a_vertex_that_waits_for_an_idle_input_names_the_source_behind_it() -> None:
    graph = [*MERGE[:2], vertex("thin", edge("other")), vertex("both", edge("rows", "a"), edge("thin", "b")), MERGE[3]]
    commits = {
        "rows": said(400, 400),
        "other": said(3, 3, watermark=5),
        "thin": said(3, 3, watermark=5),
        "both": said(6, 6, waits_for="thin.out>b"),
        "save": said(6),
    }
    observed = facts(commits, graph, idle_s={"other": 60, "thin": 60, "both": 55, "save": 55})
    one = next(one for one in diagnosed(observed).findings if one.code == "flow.waits_for_watermark")
    assert (one.severity, one.vertex, one.place) == ("fault", "both", "thin.out>b")
    assert list(one.evidence["idle"]) == ["other"] and "other has written nothing" in one.sentence
    assert one.evidence["watermarks"]["thin.out>b"] == "5 ns"


def test_a_vertex_that_waits_for_one_that_tells_no_time_says_so() -> None:
    graph = [*MERGE[:2], vertex("held", edge("other")), vertex("both", edge("rows", "a"), edge("held", "b")), MERGE[3]]
    held = said(900, 0, filtered=900, watermark=5, time_ns=5, promise=-(2**63))
    commits = {"rows": said(400, 400), "other": said(900, 900), "held": held, "both": said(waits_for="held.out>b"), "save": said()}
    told = diagnosed(facts(commits, graph, idle_s={"both": 60, "save": 60}))
    one = next(one for one in told.findings if one.code == "flow.waits_for_watermark")
    assert one.severity == "fault" and "held works, and tells no time before its end" in one.sentence


def test_a_short_wait_for_a_slow_input_is_a_note() -> None:
    commits = {"rows": said(400, 400), "other": said(3, 3), "both": said(6, 6, waits_for="other.out>b"), "save": said(6)}
    assert found(facts(commits, MERGE, idle_s={"other": 3, "both": 1})) == [("note", "flow.waits_for_watermark", "both")]


def test_back_pressure_names_who_holds_the_subject() -> None:
    moving = only(facts(RUNNING, full=("rows.out",), kept_from={subject("rows.out"): 5}))
    assert (moving.code, moving.severity, moving.vertex) == ("flow.back_pressure", "note", "rows")
    assert list(moving.evidence["held_by"]) == ["keep"] and "keep takes 100 records/s" in moving.sentence
    stuck = facts(RUNNING | {"keep": said(10, 10)}, full=("rows.out",), idle_s={"keep": 60.0, "rows": 60.0})
    assert found(stuck) == [("fault", "vertex.stuck", "keep"), ("warning", "flow.back_pressure", "rows")]


def test_the_end_of_a_chain_of_back_pressure_is_named() -> None:
    commits = {"rows": said(900, 900), "keep": said(500, 500), "save": said(10)}
    observed = facts(commits, full=("rows.out", "keep.out"), idle_s=GONE_QUIET)
    told = {one.vertex: one for one in diagnosed(observed).findings if one.code == "flow.back_pressure"}
    assert told["rows"].hint is not None and "look at save" in told["rows"].hint
    assert ("fault", "sink.not_confirmed", "save") in found(observed)


def test_back_pressure_for_want_of_trimming_says_so() -> None:
    commits = {**RUNNING, "save": said(60, port="_", positions={"keep.out>in": (80, 3)})}
    more: dict[str, Any] = {"kept_from": {subject("keep.out"): 5, subject("rows.out"): 4}, "heads": {subject("keep.out"): 80}}
    observed = facts(commits, has_coordinator=False, full=("rows.out", "keep.out"), idle_s=GONE_QUIET, **more)
    told = {one.code: one for one in diagnosed(observed).findings}
    assert told["coordinator.absent"].evidence["full"] == ["keep.out"]
    assert told["flow.back_pressure"].hint == "keep waits for room, as nobody trims what it has written"


def test_subjects_that_nobody_trims_are_the_coordinators_absence() -> None:
    positions = {"rows.out>in": (80, 3)}
    commits = {**RUNNING, "keep": said(100, 60, filtered=40, positions=positions)}
    more: dict[str, Any] = {"full": ("rows.out",), "kept_from": {subject("rows.out"): 5}, "heads": {subject("rows.out"): 80}}
    one = only(facts(commits, has_coordinator=False, **more))
    assert (one.code, one.severity, one.vertex) == ("coordinator.absent", "fault", None)
    assert one.evidence["full"] == ["rows.out"]
    assert found(facts(commits, idle_s=GONE_QUIET, **more))[0] == ("warning", "flow.not_trimmed", None)
    assert found(facts(commits, **more)) == []  # full for a moment, until the coordinator trims again


def test_a_coordinator_that_does_not_answer_is_told_before_anything_is_full() -> None:
    assert found(facts(RUNNING, has_coordinator=False)) == [("warning", "coordinator.absent", None)]
    assert found(facts(RUNNING, has_coordinator=False, spec={"revision": 0})) == []  # of a run, whose own answers nobody else
    assert found(facts({}, has_coordinator=False, has_log=False))[0] == ("fault", "log.missing", None)


def test_a_log_that_is_held_names_the_holder() -> None:
    commits = {**RUNNING, "keep": said(100, 60, filtered=40, positions={"rows.out>in": (80, 3)})}
    more: dict[str, Any] = {"kept_from": {subject("rows.out"): 5}, "heads": {subject("rows.out"): 80}, "holds": {"capture": 5}}
    (one,) = diagnosed(facts(commits, full=("rows.out",), **more)).findings
    assert (one.code, one.severity, one.evidence["holds"]) == ("flow.held", "note", {"capture": 5})
    assert ("warning", "flow.held", "rows") in found(facts(commits, full=("rows.out",), idle_s=GONE_QUIET, **more))


def test_endpoints_are_sources_and_sinks() -> None:
    graph = [vertex("rows", endpoint="in"), vertex("keep", edge("rows")), vertex("save", edge("keep"), endpoint="out")]
    commits = {"rows": said(5, 5), "keep": said(5, 5), "save": said(5, 5)}
    assert found(facts(commits, graph)) == []
    told = diagnosed(facts({name: said() for name in commits}, graph, idle_s=GONE_QUIET))
    assert [(one.severity, one.code, one.vertex) for one in told.findings] == [("warning", "source.silent", "rows")]
    assert told.findings[0].evidence["subject"] == "tw.w.d.in.rows.in" and told.ends[0].vertex == "save"


def test_ports_and_sources_that_lead_nowhere_are_told() -> None:
    graph = [vertex("rows", outputs=("out", "spare")), *facts(RUNNING).spec.vertices[1:]]
    assert found(facts(RUNNING, graph)) == [("note", "port.not_connected", "rows")]
    lone = [vertex("rows"), vertex("keep", edge("rows"))]
    commits = {name: RUNNING[name] for name in ("rows", "keep")}
    assert found(facts(commits, lone)) == [("warning", "sink.not_connected", "rows"), ("warning", "port.not_connected", "keep")]


def test_of_several_ports_an_empty_one_is_told() -> None:
    graph = [
        vertex("rows"),
        vertex("keep", edge("rows"), outputs=("out", "rest")),
        vertex("save", edge("keep", src_port="rest"), outputs=()),
    ]
    told = found(facts({**ENDED, "save": said(ended=True)}, graph))
    assert ("warning", "flow.port_empty", "keep") in told


def test_a_sink_that_confirms_nothing_is_told() -> None:
    commits = {**RUNNING, "save": said()}
    assert found(facts(commits, idle_s={"save": 3})) == []
    assert found(facts(commits, idle_s={"save": 8})) == [("warning", "sink.not_confirmed", "save")]
    one = only(facts(commits, idle_s={"save": 60}))
    assert (one.code, one.severity) == ("sink.not_confirmed", "fault") and "none of 60 records" in one.sentence
    waiting = {**ENDED, "save": said(60)}
    assert found(facts(waiting, idle_s={"save": 60})) == [("warning", "vertex.not_ended", "save")]


def test_a_sink_with_receipts_has_confirmed_what_they_say() -> None:
    graph = [*chain()[:2], vertex("save", edge("keep"), outputs=("receipts",), kind="sink")]
    commits = {**RUNNING, "save": said(40, 38, port="receipts", target="mqtt://broker:1883/alarms")}
    one = only(facts(commits, graph, idle_s={"save": 60}))
    assert one.code == "sink.not_confirmed" and "confirmed 38 of 60 records, the last by mqtt://broker:1883/alarms" in one.sentence
    assert one.evidence["delivered"] == 38


def test_a_vertex_that_is_still_setting_up_is_no_fault() -> None:
    one = only(facts({**RUNNING, "save": said(claim=True)}, idle_s={"save": 60}))
    assert (one.code, one.severity) == ("sink.not_confirmed", "warning") and one.hint is not None and "setting up" in one.hint


def test_a_graph_that_waits_for_itself_is_told_before_the_coordinator_fails_it() -> None:
    commits = {"rows": said(400, 400), "other": said(3, 3), "both": said(6, 6, waits_for="other.out>b"), "save": said(6)}
    observed = facts(commits, MERGE, idle_s=dict.fromkeys(commits, 20.0), stall=("both", "other.out>b", "rows.out>a"))
    stalls = [one for one in found(observed) if one[2] == "both"]
    assert stalls == [("fault", "graph.stalled", "both")]
    failed = {**commits, "both": said(6, 6, failure=Failure("both: waits for ever", "graph.stalled"))}
    assert found(facts(failed, MERGE)) == [("fault", "graph.stalled", "both")]


def test_all_shapes_are_told_at_once_the_most_upstream_first() -> None:
    commits = {"rows": said(100, 50, dead=50, ended=True), "keep": said(50, 0, filtered=50, ended=True), "save": said(ended=True)}
    both = found(facts({**commits, "rows": said(100, 0, dead=100, ended=True)}))
    assert both == [("fault", "flow.dead_all", "rows"), ("fault", "flow.filtered_all", "keep")]
    assert found(facts(commits)) == [("fault", "flow.filtered_all", "keep"), ("warning", "flow.dead_some", "rows")]


def test_towards_a_vertex_only_what_is_on_its_way_is_told() -> None:
    commits = {"rows": said(ended=True), "keep": said(ended=True), "save": said(ended=True, late=1)}
    observed = facts(commits)
    told = diagnosed(observed, "keep")
    assert [one.vertex for one in told.flow] == ["rows", "keep"] and [one.vertex for one in told.ends] == ["keep"]
    assert found(observed, "keep") == [("fault", "source.empty", "rows")]


@pytest.mark.parametrize(("desired", "code"), [("draining", "deployment.stopping"), ("stopped", "deployment.stopped")])
def test_a_deployment_that_is_to_end_says_so(desired: str, code: str) -> None:
    observed = facts(RUNNING)
    spec = msgspec.structs.replace(observed.spec, desired=desired)
    assert found(replace(observed, spec=spec)) == [("note", code, None)]


def test_a_large_graph_is_diagnosed_in_no_time() -> None:
    graph = [vertex("v0"), *(vertex(f"v{n}", edge(f"v{n - 1}", "a"), edge(f"v{max(0, n - 2)}", "b")) for n in range(1, 200))]
    told = diagnosed(facts({}, graph, deployed_s=1))
    assert told.is_healthy is False and len(told.flow) == 200 and len(told.ends[0].path) < 200  # no sink
