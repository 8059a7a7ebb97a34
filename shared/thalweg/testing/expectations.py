"""Turns what a case expects into assertions on the run of its plan, and finds what cannot be expected of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from thalweg.client.conditions import Condition, condition
from thalweg.errors import RejectedError, ThalwegError
from thalweg.graph.pipeline import Count
from thalweg.graph.plan import Plan, PlannedVertex
from thalweg.graph.types import StreamType
from thalweg.graph.wording import did_you_mean
from thalweg.replay.feeding import COMPONENT
from thalweg.testing import checks
from thalweg.testing.arranging import Misfit
from thalweg.testing.checks import Check, Verdict, check_count, check_digest, check_failure
from thalweg.testing.comparing import EXACT, Tolerance
from thalweg.testing.generated import TABLES, compare_files, count_rows, kind_of
from thalweg.testing.goldens import read_golden
from thalweg.testing.manifest import (
    AtIndex,
    Expected,
    Failing,
    FailureExpectation,
    FileExpectation,
    PortExpectation,
    ReplayExpectation,
    ToleranceText,
    VertexExpectation,
)
from thalweg.testing.recorded import Fetch, golden_ports, golden_values, is_replay, open_golden
from thalweg.testing.updating import UpdatedGolden, update_file
from thalweg.wire.commit import Commit

MAX_LABEL = 120


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a run failed."""

    vertex: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run has left.

    Attributes:
        commits: the last one of every vertex.
        fetch: local copy of an artifact, by its id and file name. Blocking.
        fault: why it failed; None where it came to its end.
    """

    commits: Mapping[str, Commit]
    fetch: Callable[[str, str], Path]
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Assertion:
    """One condition of an expectation.

    Attributes:
        key: where it is in its case: `expect.2.every`.
        label: what it says, on one line.
        judge: the verdict, after the run. Blocking; may raise RejectedError where a file cannot be read.
        port: (vertex, port) whose records `check` has to be given, all and in order, before it is judged.
        counts_dead: vertex whose dead letters it counts.
    """

    key: str
    label: str
    judge: Callable[[Outcome], Verdict]
    port: tuple[str, str] | None = None
    check: Check | None = None
    counts_dead: str | None = None


def _no_store(artifact: str) -> Path:
    raise RejectedError(f"{artifact}: no file store is given", code="golden.unreadable", hint="THALWEG_S3_ENDPOINT says where one is")


def assertions_of(
    expect: list[Expected], plan: Plan, base: Path, *, update: bool, fetch: Fetch = _no_store
) -> tuple[list[Assertion], list[Misfit]]:
    """The assertions of a case, in order, and what does not fit its plan. Blocking: golden files are looked into.

    Args:
        expect: of the case.
        plan: of its pipeline, as it is arranged, without faults.
        base: folder of the manifest.
        update: golden files that are missing or differ are written; replays never are.
        fetch: local copy of an artifact that is a golden replay.
    """
    building = _Building(plan, base, update, fetch)
    for index, one in enumerate(expect):
        building.add(f"expect.{index}", one)
    return building.assertions, building.misfits


class _Building:
    def __init__(self, plan: Plan, base: Path, update: bool, fetch: Fetch) -> None:
        self.fetch = fetch
        self.vertices = {one.name: one for one in plan.vertices}
        self.base, self.update = base, update
        self.assertions: list[Assertion] = []
        self.misfits: list[Misfit] = []

    def add(self, key: str, one: Expected) -> None:
        match one:
            case PortExpectation():
                self.port(key, one)
            case VertexExpectation():
                if self.vertex(f"{key}.vertex", one.vertex) is not None:
                    for name in one.stated():
                        self.counter(f"{key}.{name}", one.vertex, name, getattr(one, name))
            case FileExpectation():
                self.file(key, one)
            case ReplayExpectation():
                self.replay(f"{key}.replay", one)
            case FailureExpectation():
                self.failure(f"{key}.fails", one.fails)

    def misfit(self, key: str, message: str, hint: str | None = None) -> None:
        self.misfits.append(Misfit(key, message, hint))

    def vertex(self, key: str, name: str) -> PlannedVertex | None:
        found = self.vertices.get(name)
        if found is None:
            self.misfit(key, f"there is no vertex {name!r}", did_you_mean(name, list(self.vertices)))
        return found

    def port(self, key: str, one: PortExpectation) -> None:
        name, _, port = one.port.partition(".")
        vertex = self.vertex(f"{key}.port", name)
        if vertex is None:
            return
        if port not in vertex.outputs:
            self.misfit(f"{key}.port", f"{name} has no output port {port!r}", f"its outputs: {', '.join(vertex.outputs) or 'none'}")
            return
        if vertex.manifest.endpoint == "out":
            fed_by = ", ".join(f"{src}.{src_port}" for src, src_port, _, _ in vertex.inputs)
            self.misfit(f"{key}.port", f"{one.port} is an output endpoint", f"expect it of what feeds it: {fed_by}")
            return
        for stated in one.stated():
            self.on_port(f"{key}.{stated}", stated, getattr(one, stated), (name, port), vertex.outputs[port], one.tolerance)

    def on_port(self, key: str, stated: str, value: Any, port: tuple[str, str], kind: StreamType, tolerance: ToleranceText | None) -> None:
        label = f"{'.'.join(port)} {_label(stated, value)}"
        if stated == "count":
            self.assertions.append(Assertion(key, label, partial(_judge_count, port, value)))
        elif stated == "digest":
            self.assertions.append(Assertion(key, label, partial(_judge_digest, port, value)))
        elif stated == "golden":
            self.golden_records(key, label, value, port, _tolerance(tolerance))
        else:
            expression = value.where if isinstance(value, AtIndex) else value
            try:
                check = _condition_check(stated, value, condition(expression, kind))
            except RejectedError as error:
                self.misfit(key, str(error).removeprefix("where: "), error.hint)
                return
            self.assertions.append(Assertion(key, label, _judge_check(check), port, check))

    def golden_records(self, key: str, label: str, text: str, port: tuple[str, str], tolerance: Tolerance) -> None:
        path = self.base / text
        if is_replay(text):
            self.recorded(key, label, text, [port], tolerance)
        elif path.suffix.lower() != ".jsonl":
            self.misfit(key, f"{text}: golden records of a port are kept in .jsonl files, or in a replay (.mcap, or an artifact id)")
        elif self.is_there(key, text, scan=True):
            check: Check = UpdatedGolden(path, tolerance) if self.update else checks.GoldenRecords(read_golden(path), tolerance)
            self.assertions.append(Assertion(key, label, _judge_check(check), port, check))

    def replay(self, key: str, one: ReplayExpectation) -> None:
        """Every port that was captured, but those that are given by a replay here."""
        self.recorded(key, "", one.replay, None, _tolerance(one.tolerance))

    def recorded(self, key: str, label: str, text: str, ports: list[tuple[str, str]] | None, tolerance: Tolerance) -> None:
        """Golden records of some ports, or of all that are in a replay."""
        try:
            replay, ran = open_golden(text, self.base, self.fetch)
        except ThalwegError as error:
            self.misfit(key, str(error), error.hint)
            return
        there = golden_ports(ran)
        for port in self.golden_places(there) if ports is None else ports:
            name = ".".join(port)
            if port not in there:
                self.misfit(key, f"{text} has no records of {name}", f"it has {', '.join(map('.'.join, there)) or 'none'}")
            elif port[1] not in getattr(self.vertices.get(port[0]), "outputs", ()):
                self.misfit(key, f"{text} has records of {name}, which is no port here")
            else:
                check = checks.GoldenRecords(golden_values(replay, *port, there[port]), tolerance)
                own = key if ports is not None else f"{key}.{name}"
                self.assertions.append(Assertion(own, label or _short(f"{name} as in {text}"), _judge_check(check), port, check))

    def golden_places(self, there: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        given = {name for name, one in self.vertices.items() if one.manifest.name == COMPONENT}
        return [one for one in there if one[0] not in given and not any(name.startswith(f"{one[0]}-") for name in given)]

    def is_there(self, key: str, text: str, *, scan: bool = False) -> bool:
        """Whether a golden file can be compared with, or will be written."""
        path = self.base / text
        if not path.exists():
            if not self.update:
                self.misfit(key, f"{text} is not there", "--update writes it")
            return self.update
        try:
            if scan:
                for _ in read_golden(path):
                    pass
        except RejectedError as error:
            self.misfit(key, str(error).removeprefix(f"{self.base}/"))
            return False
        return True

    def counter(self, key: str, vertex: str, name: str, wanted: Count) -> None:
        label = f"{vertex} {_label(name, wanted)}"
        judge = partial(_judge_counter, vertex, name, wanted)
        self.assertions.append(Assertion(key, label, judge, counts_dead=vertex if name == "dead" else None))

    def file(self, key: str, one: FileExpectation) -> None:
        name, _, slot = one.file.partition(".")
        vertex = self.vertex(f"{key}.file", name)
        if vertex is None:
            return
        declared = vertex.manifest.generated_file_schema.get(slot)
        if declared is None:
            there = ", ".join(vertex.manifest.generated_file_schema) or "none"
            self.misfit(f"{key}.file", f"{name} leaves no file in slot {slot!r}", f"its generated files: {there}")
            return
        if one.rows is not None and declared.type not in TABLES:
            self.misfit(f"{key}.rows", f"{one.file} is {declared.type}, which has no rows", f"these have: {', '.join(sorted(TABLES))}")
            return
        for stated in one.stated():
            self.on_file(f"{key}.{stated}", stated, getattr(one, stated), (name, slot), declared.type, _tolerance(one.tolerance))

    def on_file(self, key: str, stated: str, value: Any, place: tuple[str, str], kind: str, tolerance: Tolerance) -> None:
        if stated == "golden" and not self.is_there(key, value):
            return
        judges: dict[str, Callable[[Path, str], Verdict]] = {
            "digest": lambda path, artifact: check_digest(artifact, value),
            "rows": lambda path, artifact: check_count("rows", count_rows(path, kind), value),
            "golden": lambda path, artifact: self.compare(path, self.base / value, kind, tolerance),
        }
        label = f"{'.'.join(place)} {_label(stated, value)}"
        self.assertions.append(Assertion(key, label, partial(_judge_file, place, judges[stated])))

    def compare(self, path: Path, golden: Path, kind: str, tolerance: Tolerance) -> Verdict:
        found = compare_files(path, golden, kind, tolerance) if golden.exists() else Verdict(False, "there is no golden file")
        is_same_kind = kind not in TABLES or kind_of(golden, kind) == kind  # one of another kind is made by hand, or from a port
        return update_file(path, golden) if self.update and is_same_kind and not found.is_met else found

    def failure(self, key: str, wanted: Failing) -> None:
        if wanted.vertex is not None and self.vertex(f"{key}.vertex", wanted.vertex) is None:
            return
        told = [f"{name} {value}" for name, value in wanted.model_dump(exclude_none=True).items()]
        self.assertions.append(Assertion(key, _short(f"fails {', '.join(told)}".strip()), partial(_judge_failure, wanted)))


def _condition_check(stated: str, value: Any, holds: Condition) -> Check:
    match stated:
        case "every":
            return checks.EveryRecord(holds)
        case "any":
            return checks.AnyRecord(holds)
        case "none":
            return checks.NoRecord(holds)
    return checks.RecordAt(holds, value.index if isinstance(value, AtIndex) else 0 if stated == "first" else None)


def _judge_check(check: Check) -> Callable[[Outcome], Verdict]:
    return lambda outcome: check.verdict()


def _judge_count(port: tuple[str, str], wanted: Count, outcome: Outcome) -> Verdict:
    return check_count("records", port_count(outcome.commits, port), wanted)


def port_count(commits: Mapping[str, Commit], port: tuple[str, str]) -> int:
    """Records that a vertex has put out on a port."""
    commit = commits.get(port[0])
    written = commit.ports.get(port[1]) if commit is not None else None
    return written.count if written is not None else 0


def _judge_digest(port: tuple[str, str], wanted: str, outcome: Outcome) -> Verdict:
    written = outcome.commits[port[0]].ports.get(port[1])
    return check_digest(written.digest, wanted) if written is not None else Verdict(False, "nothing was put out")


def _judge_counter(vertex: str, name: str, wanted: Count, outcome: Outcome) -> Verdict:
    return check_count(
        "dead letters" if name == "dead" else name.replace("_", " "), getattr(outcome.commits[vertex].counters, name), wanted
    )


def _judge_file(place: tuple[str, str], judge: Callable[[Path, str], Verdict], outcome: Outcome) -> Verdict:
    left = outcome.commits[place[0]].generated.get(place[1])
    if left is None:
        return Verdict(False, f"{place[0]} left no file in slot {place[1]}")
    return judge(outcome.fetch(left.artifact, left.name), left.artifact)


def _judge_failure(wanted: Failing, outcome: Outcome) -> Verdict:
    fault = outcome.fault or Fault("", "", "")
    return check_failure(fault.vertex or None, fault.code, fault.message, (wanted.vertex, wanted.code, wanted.message))


def _tolerance(given: ToleranceText | None) -> Tolerance:
    return given.tolerance() if given is not None else EXACT


def _label(stated: str, value: Any) -> str:
    match value:
        case Count():
            return _short(f"{stated.replace('_', ' ')} {checks.bounds_text(value.min, value.max)}")
        case AtIndex():
            return _short(f"at {value.index}: {value.where}")
    return _short(f"{stated} {value}")


def _short(text: str) -> str:
    return text if len(text) <= MAX_LABEL else f"{text[:MAX_LABEL]}…"


def watched_ports(assertions: list[Assertion]) -> Iterator[tuple[str, str]]:
    """Ports whose records have to be read, each once."""
    yield from dict.fromkeys(one.port for one in assertions if one.port is not None)
