"""What `thalweg test` tells: lines for people, JUnit XML, events by their schema."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import jsonschema

from thalweg.testing.checks import Broken, Verdict
from thalweg.testing.comparing import Difference
from thalweg_cli.testing.events import (
    CaseFinished,
    CaseStarted,
    Event,
    Finished,
    LeaseLeft,
    VertexProgress,
    event_line,
    events_json_schema,
    judged,
)
from thalweg_cli.testing.junit import junit_xml
from thalweg_cli.testing.report import Report

BROKEN = Verdict(False, "record 3: mean is 2, expected 1 \x00<&>", Broken(3, '{"mean": 2}', Difference("mean", "2", "1")))
EVENTS: list[Event] = [
    CaseStarted(case="good", deployment="d-1", vertices=["rows"]),
    VertexProgress(case="good", vertex="rows", state="ended", records_in=1, records_out=1),
    judged("good", "expect.0.count", "rows.out count 1", Verdict(True, "1 record")),
    CaseFinished(case="good", outcome="passed", seconds=1.25),
    CaseStarted(case="bad", deployment="d-2", vertices=["rows"]),
    judged("bad", "expect.0.golden", "rows.out golden g.jsonl", BROKEN),
    judged("bad", "expect.0.count", "rows.out count 1", Verdict(True, "1 record")),
    CaseFinished(case="bad", outcome="failed", seconds=1.0),
    CaseStarted(case="broken", deployment="d-3", vertices=["rows"]),
    CaseFinished(case="broken", outcome="error", seconds=0.5, code="data.invalid", message="rows: row 3", hint="look"),
    LeaseLeft(lease="l", seconds=3600, data="/data"),
    Finished(manifest="m.yaml", passed=1, failed=1, errors=1, seconds=3.0, exit_code=4),
]


def test_junit_has_a_suite_with_a_test_case_for_each_run_and_expectation() -> None:
    (suite,) = ElementTree.fromstring(junit_xml("m.yaml", EVENTS))
    assert suite.attrib == {"name": "m.yaml", "tests": "6", "failures": "1", "errors": "1", "skipped": "0", "time": "3.000"}
    assert [(one.get("classname"), one.get("name")) for one in suite] == [
        ("good", "run"),
        ("good", "expect.0.count: rows.out count 1"),
        ("bad", "run"),
        ("bad", "expect.0.golden: rows.out golden g.jsonl"),
        ("bad", "expect.0.count: rows.out count 1"),
        ("broken", "run"),
    ]
    assert [float(one.get("time", "")) for one in suite] == [1.25, 0, 1.0, 0, 0, 0.5]
    (failure,) = suite.findall("testcase/failure")
    assert failure.get("message") == "record 3: mean is 2, expected 1 \ufffd<&>"
    assert failure.text == 'record 3: {"mean": 2}'
    (error,) = suite.findall("testcase/error")
    assert (error.get("type"), error.get("message"), error.text) == ("data.invalid", "rows: row 3", "look")


def test_people_read_a_line_for_each_case_and_what_is_not_as_expected() -> None:
    lines: list[str] = []
    report = Report(lines.append)
    for event in EVENTS:
        report.tell(event)
    assert lines[:7] == [
        "✓ good  1.2 s",
        "✗ bad  1.0 s",
        "    ✗ rows.out golden g.jsonl: record 3: mean is 2, expected 1 \x00<&>",
        '      record 3: {"mean": 2}',
        "✗ broken  0.5 s",
        "    the run failed: rows: row 3 (data.invalid)",
        "      hint: look",
    ]
    assert lines[-1] == "m.yaml: 1 passed, 1 failed, 1 in error in 3.0 s"
    assert "  then: thalweg lease rollback l" in lines
    whole: list[str] = []
    report = Report(whole.append, show_all=True)
    for event in EVENTS:
        report.tell(event)
    assert "    ✓ rows.out count 1: 1 record" in whole


def test_every_event_is_a_line_that_fits_the_schema() -> None:
    schema = events_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for event in EVENTS:
        line = event_line(event)
        assert "\n" not in line
        jsonschema.Draft202012Validator(schema).validate(json.loads(line))
    assert not jsonschema.Draft202012Validator(schema).is_valid({"event": "other"})
