"""Compares what a fixture holds with what is seen live, and tells what may matter, first what meets a param downstream. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from thalweg.client.diagnosis.findings import SEVERITIES, Finding, Severity
from thalweg.client.diagnosis.naming import names_in, texts_of
from thalweg.client.diagnosis.profiles import FieldProfile, Profile
from thalweg.client.diagnosis.wording import listed, records
from thalweg.wire.spec import DeploymentSpec

FACTOR_OF_RATE, FACTOR_OF_SIZE = 3.0, 2.0
FEW_TEXTS = 20  # distinct ones, each seen twice in the mean, make an enumeration
SHOWN = 5
_ORDER = (
    "fixture.no_live",
    "fixture.empty",
    "fixture.field_missing",
    "fixture.type",
    "fixture.null",
    "fixture.new_values",
    "fixture.range",
    "fixture.rate",
    "fixture.size",
    "fixture.field_extra",
)


@dataclass(frozen=True, slots=True)
class Use:
    """A param that names a field: of which vertex, where in its params, and its text."""

    vertex: str
    place: str
    text: str


Uses = Mapping[str, list[Use]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared, and what differs; nothing that does not matter."""

    deployment: str
    port: str
    fixture: str
    fixture_records: int
    faulty_records: int
    live_records: int
    findings: list[Finding] = field(default_factory=list)


def uses_behind(spec: DeploymentSpec, vertex: str) -> dict[str, list[Use]]:
    """Names that params of the vertices behind one mention, nearest first: fields that they may mean."""
    found: dict[str, list[Use]] = {}
    seen, queue = {vertex}, [vertex]
    while queue:
        here = queue.pop(0)
        for one in spec.vertices:
            if one.name in seen or not any(edge.src_vertex == here for edge in one.inputs):
                continue
            seen.add(one.name)
            queue.append(one.name)
            for place, text in texts_of(one.params):
                for name in names_in(text):
                    found.setdefault(name, []).append(Use(one.name, place, text[:200]))
    return found


def compare(fixture: Profile, live: Profile, uses: Uses) -> list[Finding]:
    """Differences that may be why a test passes and production fails.

    Args:
        fixture, live: what the records are like.
        uses: params downstream, by the names that they mention.
    """
    if not live.records:
        return [
            Finding("fixture.no_live", "fault", None, "the log has no records to compare with", "compare when the source has given some")
        ]
    if not fixture.records:
        return [Finding("fixture.empty", "fault", None, "the fixture has no records", "name one that has")]
    found = [
        *_missing(fixture, live),
        *_extra(fixture, live),
        *(one for name in fixture.fields if name in live.fields for one in _field(name, fixture, live)),
        *_sizes(fixture, live),
        *_rates(fixture, live),
    ]
    return sorted((_used(one, uses) for one in found if _matters(one, uses)), key=_rank)


def _rank(one: Finding) -> tuple[int, bool, int]:
    return SEVERITIES.index(one.severity), "used_by" not in one.evidence, _ORDER.index(one.code)


def _used(one: Finding, uses: Uses) -> Finding:
    """A difference in a field that a param names: that is where it does harm."""
    found = _uses_of(one.place, uses)
    if not found or one.code == "fixture.field_extra":
        return one
    told = listed([f"{use.vertex} ({use.place}: {use.text})" for use in found[:SHOWN]])
    severity: Severity = "fault" if one.severity == "warning" and one.code != "fixture.range" else one.severity
    used_by = [{"vertex": use.vertex, "param": use.place, "text": use.text} for use in found[:SHOWN]]
    return replace(one, severity=severity, sentence=f"{one.sentence}; it is named by {told}", evidence={**one.evidence, "used_by": used_by})


def _uses_of(name: str | None, uses: Uses) -> list[Use]:
    if name is None:
        return []
    return [use for mentioned, some in uses.items() if mentioned == name or mentioned.startswith(f"{name}.") for use in some]


def _matters(one: Finding, uses: Uses) -> bool:
    """A range matters where a param names the field, or where it is another one altogether, and no counter's or clock's."""
    return one.code != "fixture.range" or bool(one.evidence["far"]) or bool(_uses_of(one.place, uses))


def _missing(fixture: Profile, live: Profile) -> Iterator[Finding]:
    for name, seen in fixture.fields.items():
        if name in live.fields or _parent(name, fixture) not in (None, *live.fields):
            continue
        close = difflib.get_close_matches(name, [one for one in live.fields if one not in fixture.fields], n=1)
        said = f"field {name} is in the fixture, and not in what is live" + (f", which has {close[0]}" if close else "")
        hint = f"was it renamed to {close[0]}?" if close else "what feeds the source has stopped sending it, or the fixture is made up"
        yield Finding("fixture.field_missing", "warning", None, said, hint, name, {"fixture": _facts(seen)})


def _parent(name: str, profile: Profile) -> str | None:
    """The field that a field is in; what lacks a record lacks its fields too, which is told once."""
    outer = name.rpartition(".")[0]
    return outer if outer in profile.fields else None


def _extra(fixture: Profile, live: Profile) -> Iterator[Finding]:
    for name, seen in live.fields.items():
        if name not in fixture.fields and _parent(name, live) in (None, *fixture.fields):
            said = f"field {name} is live, and not in the fixture"
            yield Finding("fixture.field_extra", "note", None, said, None, name, {"live": _facts(seen)})


def _field(name: str, fixture: Profile, live: Profile) -> Iterator[Finding]:
    test, real = fixture.fields[name], live.fields[name]
    evidence = {"fixture": _facts(test), "live": _facts(real)}
    new = {kind: count for kind, count in real.kinds.items() if kind not in test.kinds}
    if new and test.kinds:
        yield _other_type(name, test, new, evidence)
    absent, absent_before = _absent(real, live.records, name, live), _absent(test, fixture.records, name, fixture)
    if absent and not absent_before:
        said = f"field {name} is null or missing in {absent:,} of {records(live.records)} that are live, and never in the fixture"
        yield Finding("fixture.null", "warning", None, said, "have nulls in the fixture too, and say what they mean", name, evidence)
    yield from _values(name, fixture, test, real, evidence)
    yield from _range(name, test, real, evidence)


def _other_type(name: str, test: FieldProfile, new: dict[str, int], evidence: dict[str, Any]) -> Finding:
    kinds = listed(sorted(test.kinds))
    told = listed([f"{kind} ({count:,} times)" for kind, count in sorted(new.items())])
    is_wider = set(new) == {"float"} and set(test.kinds) == {"int"}
    is_narrower = set(new) == {"int"} and set(test.kinds) == {"float"}
    severity: Severity = "note" if is_wider or is_narrower else "warning"
    hint = "declare its type where the source reads it, so that the fixture cannot have another one"
    return Finding("fixture.type", severity, None, f"field {name} is {kinds} in the fixture, and {told} live", hint, name, evidence)


def _absent(one: FieldProfile, count: int, name: str, profile: Profile) -> int:
    """Records in which a field is null or missing; within an inner record, of those that have that."""
    parent = _parent(name, profile)
    there = profile.fields[parent].kinds["map"] if parent is not None else count
    return one.nulls + max(0, there - one.count)


def _values(name: str, fixture: Profile, test: FieldProfile, real: FieldProfile, evidence: dict[str, Any]) -> Iterator[Finding]:
    known = test.texts
    if not known or len(known) > FEW_TEXTS or test.kinds["str"] < 2 * len(known):
        return
    if real.texts is None:
        said = f"field {name} has {len(known)} values in the fixture, and more than that live"
        yield Finding("fixture.new_values", "warning", None, said, None, name, {**evidence, "known": sorted(known)})
        return
    new = sorted(real.texts - known)
    if new:
        shown = ", ".join(repr(one[:40]) for one in new[:SHOWN]) + (f" and {len(new) - SHOWN} more" if len(new) > SHOWN else "")
        said = f"field {name} has values live that the fixture does not have: {shown}"
        hint = f"the fixture knows {listed([repr(one[:40]) for one in sorted(known)[:SHOWN]])}"
        yield Finding("fixture.new_values", "warning", None, said, hint, name, {**evidence, "new": new[:FEW_TEXTS], "known": sorted(known)})


def _range(name: str, test: FieldProfile, real: FieldProfile, evidence: dict[str, Any]) -> Iterator[Finding]:
    if test.low is None or test.high is None or real.low is None or real.high is None:
        return
    span = max(test.high - test.low, abs(test.high) * 0.1, abs(test.low) * 0.1)
    beyond = max(test.low - real.low, real.high - test.high)
    if beyond <= 0.1 * span:
        return
    said = (
        f"field {name} is {_number(test.low)} to {_number(test.high)} in the fixture, and {_number(real.low)} to {_number(real.high)} live"
    )
    hint = "other units, another sensor, or values that the test never had"
    yield Finding(
        "fixture.range", "warning", None, said, hint, name, {**evidence, "far": beyond > span and not (test.rises and real.rises)}
    )


def _sizes(fixture: Profile, live: Profile) -> Iterator[Finding]:
    factors = [max(a, 1) / max(b, 1) for a, b in ((live.size_p50, fixture.size_p50), (live.size_p99, fixture.size_p99))]
    if all(1 / FACTOR_OF_SIZE < one < FACTOR_OF_SIZE for one in factors):
        return
    evidence = {
        "fixture": {"p50_bytes": fixture.size_p50, "p99_bytes": fixture.size_p99},
        "live": {"p50_bytes": live.size_p50, "p99_bytes": live.size_p99},
    }
    said = (
        f"a record has {live.size_p50:,} bytes live (p99 {live.size_p99:,}), in the fixture {fixture.size_p50:,} (p99 {fixture.size_p99:,})"
    )
    yield Finding("fixture.size", "warning", None, said, "limits, timeouts and memory were tried with other sizes", None, evidence)


def _rates(fixture: Profile, live: Profile) -> Iterator[Finding]:
    if fixture.rate is None or live.rate is None or 1 / FACTOR_OF_RATE < live.rate / fixture.rate < FACTOR_OF_RATE:
        return
    said = f"there are {_number(live.rate)} records in a second of event time live, {_number(fixture.rate)} in the fixture"
    hint = "windows, joins and lateness are in event time: they hold more or less than in the test"
    evidence = {"fixture": {"records_per_s": fixture.rate}, "live": {"records_per_s": live.rate}}
    yield Finding("fixture.rate", "warning", None, said, hint, None, evidence)


def _facts(one: FieldProfile) -> dict[str, Any]:
    facts: dict[str, Any] = {"records": one.count, "nulls": one.nulls, "kinds": dict(one.kinds)}
    return facts | ({"low": one.low, "high": one.high} if one.low is not None else {})


def _number(value: float) -> str:
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"
