"""A diagnosis as people read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thalweg.client.diagnosis.comparing import Comparison
    from thalweg.client.diagnosis.findings import Diagnosis, Ending, Figures, Finding

_SHOWN = 400  # characters of a record
_RECORDS = {"rejected": "rejected", "record": "record", "next": "next record", "last": "dead letter"}


def lines(found: Diagnosis) -> Iterator[str]:
    """The flow, where it ends, what was found."""
    yield f"{found.deployment}: {found.state}, {found.backend}, generation {found.generation}"
    width = max((len(one.vertex) for one in found.flow), default=0)
    for one in found.flow:
        yield _flow_line(one, width)
    for end in found.ends:
        yield from _end_lines(end, found.is_healthy)
    if found.is_healthy:
        yield _healthy(found)
    for finding in found.findings:
        yield from _finding_lines(finding)


def _flow_line(one: Figures, width: int) -> str:
    counts = f"{one.records_in:>9,} in" if one.has_inputs else " " * 12
    counts += f"  {one.records_out:>9,} out" if one.has_outputs else " " * 15
    known = (("dead", one.dead), ("late", one.late), ("dropped", one.dropped), ("waiting", one.lag))
    extra = "".join(f", {value:,} {label}" for label, value in known if value)
    extra += f", {one.rate:,.0f}/s" if one.rate else ""
    reads = f"  from {', '.join(one.reads)}" if one.reads else ""
    return f"  {one.vertex:<{width}}  {counts}  {one.state}{extra}{'  ✗' if one.is_stop else ''}{reads}"


def _end_lines(end: Ending, is_healthy: bool) -> Iterator[str]:
    if end.stops_at is None:
        return
    path = " → ".join(f"{name} ✗" if name == end.stops_at else name for name in end.path)
    what = "nothing at" if end.stops_at == end.vertex else "nothing reaches"
    yield f"{what} {end.vertex}{' yet' if is_healthy else ''}: {path}"


def _healthy(found: Diagnosis) -> str:
    told = [f"{end.records:,} record{'' if end.records == 1 else 's'} at {end.vertex}" for end in found.ends]
    waiting = sum(one.lag for one in found.flow)
    so_far = "" if all(end.records for end in found.ends) else " so far"
    return f"nothing is wrong{so_far}: {', '.join(told) or 'no ends'}; {f'{waiting:,} in flight' if waiting else 'nothing waits'}"


def _finding_lines(one: Finding) -> Iterator[str]:
    about = f"{one.vertex} " if one.vertex is not None else ""
    yield _line(f"{one.severity}: {about}{one.sentence}  [{one.code}]")
    for key, label in _RECORDS.items():
        if isinstance(one.evidence.get(key), dict) and "value" in one.evidence[key]:
            yield _line(f"  {label}: {_place(one.evidence[key])}{_short(one.evidence[key]['value'])}")
    if one.hint:
        yield _line(f"  hint: {one.hint}")


def _place(record: dict[str, Any]) -> str:
    if "sequence" not in record:
        return ""
    return f"{record['edge']} {record['sequence']}:{record['index']} "


def _line(text: str) -> str:
    """What records and errors hold may be anything, and is not to move a terminal's cursor."""
    return "".join(one if one.isprintable() else " " for one in text)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def comparison_lines(found: Comparison) -> Iterator[str]:
    """What was compared, and what differs."""
    faulty = f", {found.faulty_records:,} faulty" if found.faulty_records else ""
    yield f"{found.port} of {found.deployment}: {found.live_records:,} live records, {found.fixture_records:,} of {found.fixture}{faulty}"
    for one in found.findings:
        yield from _finding_lines(one)
    if not found.findings:
        yield "no difference that matters"
