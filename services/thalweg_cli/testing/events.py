"""What `thalweg test` tells while it runs: one event after another, of which every report is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import TypeAdapter

from thalweg.graph.fields import Strict
from thalweg.testing.checks import Broken, Verdict

Outcome = Literal["passed", "failed", "error"]
State = Literal["starting", "running", "ended", "failed"]


class CaseStarted(Strict):
    """A case is deployed."""

    event: Literal["case.started"] = "case.started"
    case: str
    deployment: str
    vertices: list[str]


class VertexProgress(Strict):
    """How far a vertex is; told when it has changed, at most twice a second."""

    event: Literal["vertex.progress"] = "vertex.progress"
    case: str
    vertex: str
    state: State
    records_in: int
    records_out: int


class BrokenRecord(Strict):
    """The first record that breaks an expectation; path, got and expected where it is compared with a golden one."""

    index: int
    value: str
    path: str | None = None
    got: str | None = None
    expected: str | None = None


class ExpectationJudged(Strict):
    """A condition of an expectation, by its key in the case (`expect.2.every`), and its verdict."""

    event: Literal["expectation"] = "expectation"
    case: str
    key: str
    label: str
    met: bool
    reason: str
    record: BrokenRecord | None = None


class CaseFinished(Strict):
    """A case is over. `error`: its run failed or ran out of time, so that nothing was judged; then what, and a hint."""

    event: Literal["case.finished"] = "case.finished"
    case: str
    outcome: Outcome
    seconds: float
    code: str | None = None
    message: str | None = None
    hint: str | None = None


class LeaseLeft(Strict):
    """The lease stays open, for looking around."""

    event: Literal["lease.left"] = "lease.left"
    lease: str
    seconds: float
    data: str | None = None
    """Folder of its servers, where they were brought up for it and have ended."""


class Finished(Strict):
    """All cases are over."""

    event: Literal["finished"] = "finished"
    manifest: str
    passed: int
    failed: int
    errors: int
    seconds: float
    exit_code: int


Event = CaseStarted | VertexProgress | ExpectationJudged | CaseFinished | LeaseLeft | Finished
Listener = Callable[[Event], None]


def judged(case: str, key: str, label: str, verdict: Verdict) -> ExpectationJudged:
    """The event of a verdict."""
    return ExpectationJudged(
        case=case,
        key=key,
        label=label,
        met=verdict.is_met,
        reason=verdict.reason,
        record=_record(verdict.broken) if verdict.broken else None,
    )


def _record(broken: Broken) -> BrokenRecord:
    found = broken.difference
    if found is None:
        return BrokenRecord(index=broken.index, value=broken.value)
    return BrokenRecord(index=broken.index, value=broken.value, path=found.path, got=found.got, expected=found.expected)


def event_line(event: Event) -> str:
    """An event as a line of JSON; what is None is left out."""
    return event.model_dump_json(exclude_none=True)


def events_json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a line."""
    schema = TypeAdapter(Event).json_schema(mode="serialization")
    return {**schema, "$schema": "https://json-schema.org/draft/2020-12/schema"}
