"""What a diagnosis says: findings, how records flow, where the flow ends."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["fault", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("fault", "warning", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        code: its shape, a dotted name; programs branch on it.
        severity: `fault`: it keeps records from getting on; `warning`: it may be meant, or may become a fault; `note`: to know.
        vertex: which it is about; None for the whole deployment.
        sentence: one line for people.
        hint: what to do; None where there is nothing.
        place: a port, edge, field or slot within the vertex.
        evidence: the figures behind the sentence, as JSON values.
    """

    code: str
    severity: Severity
    vertex: str | None
    sentence: str
    hint: str | None = None
    place: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figures:
    """One vertex in the flow. `is_stop`: it gets records, or is a source, and gives none."""

    vertex: str
    component: str
    state: str
    reads: list[str]
    records_in: int
    records_out: int
    filtered: int
    dead: int
    late: int
    dropped: int
    lag: int
    rate: float
    has_inputs: bool
    has_outputs: bool
    is_stop: bool


@dataclass(frozen=True, slots=True)
class Ending:
    """One end of the graph: a vertex whose records nobody in the graph reads.

    Attributes:
        vertex: the end.
        records: that have reached it.
        path: of vertices, from a source to the end.
        stops_at: the first vertex on the way that lets nothing through; None where records arrive.
    """

    vertex: str
    records: int
    path: list[str]
    stops_at: str | None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that was found of one deployment; findings most upstream first, faults before warnings before notes."""

    deployment: str
    backend: str
    generation: int
    state: str
    flow: list[Figures]
    ends: list[Ending]
    findings: list[Finding]

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is wrong."""
        return all(one.severity == "note" for one in self.findings)

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {**asdict(self), "healthy": self.is_healthy}


def in_order(findings: list[Finding], vertices: list[str]) -> list[Finding]:
    """Faults first; among equals those of the whole deployment, then by the order of vertices."""
    rank = {name: index for index, name in enumerate(vertices, 1)}
    return sorted(findings, key=lambda one: (SEVERITIES.index(one.severity), rank.get(one.vertex or "", 0)))
