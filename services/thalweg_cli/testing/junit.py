"""The events of a test as JUnit XML: a suite for the manifest, a test case for each run, and for each of its expectations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from thalweg_cli.testing.events import CaseFinished, Event, ExpectationJudged, Finished

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(path: Path, manifest: str, events: Sequence[Event]) -> None:
    """Writes the file, whole or not at all; its folder is made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(junit_xml(manifest, events))
    partial.replace(path)


def junit_xml(manifest: str, events: Sequence[Event]) -> bytes:
    """The document. A run that failed is an `error` of its own test case, an expectation that is not met a `failure`."""
    suite = ElementTree.Element("testsuite", {"name": _text(manifest)})
    for finished in (one for one in events if isinstance(one, CaseFinished)):
        run = _case(suite, finished.case, "run")
        run.set("time", f"{finished.seconds:.3f}")
        if finished.outcome == "error":
            _told(run, "error", finished.message or "", finished.code or "internal", finished.hint or "")
        for one in events:
            if isinstance(one, ExpectationJudged) and one.case == finished.case:
                _expectation(suite, one)
    counts = {"tests": "testcase", "failures": "testcase/failure", "errors": "testcase/error"}
    for name, what in counts.items():
        suite.set(name, str(len(suite.findall(what))))
    suite.set("skipped", "0")
    suite.set("time", f"{next((one.seconds for one in events if isinstance(one, Finished)), 0.0):.3f}")
    suites = ElementTree.Element("testsuites", {name: suite.get(name, "") for name in ("tests", "failures", "errors", "time")})
    suites.append(suite)
    ElementTree.indent(suites)
    body: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return body


def _expectation(suite: ElementTree.Element, one: ExpectationJudged) -> None:
    case = _case(suite, one.case, f"{one.key}: {one.label}")
    case.set("time", "0")
    if not one.met:
        record = one.record
        _told(case, "failure", one.reason, one.key, f"record {record.index}: {record.value}" if record is not None else "")


def _case(suite: ElementTree.Element, case: str, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", {"classname": _text(case), "name": _text(name)})


def _told(case: ElementTree.Element, tag: str, message: str, kind: str, detail: str) -> None:
    element = ElementTree.SubElement(case, tag, {"message": _text(message), "type": _text(kind)})
    element.text = _text(detail)


def _text(text: str) -> str:
    """Without what XML cannot hold."""
    return _NOT_XML.sub("\ufffd", text)
