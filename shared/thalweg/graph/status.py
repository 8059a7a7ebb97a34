"""How far a graph is built: every vertex and edge is complete, incomplete or invalid, with the reasons."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from thalweg.graph.backend import Backend
from thalweg.graph.pipeline import Edge
from thalweg.graph.plan import Fault, Inspect, Locate, Plan, check_pipeline
from thalweg.graph.releases import Releases

INCOMPLETE = frozenset(
    {
        "component.unpinned",
        "edge.unchecked",
        "file.missing",
        "graph.empty",
        "input.unconnected",
        "param.missing",
        "slot.unbound",
    }
)
"""Codes of faults that go away by building on; all others need something changed."""


@dataclass(frozen=True, slots=True)
class Part:
    """How far one part of a graph is built; the reasons are the faults that are about it."""

    reasons: tuple[Fault, ...] = ()

    @property
    def state(self) -> Literal["complete", "incomplete", "invalid"]:
        """`invalid` when any of the reasons is not cured by building on."""
        if not self.reasons:
            return "complete"
        return "incomplete" if all(one.code in INCOMPLETE for one in self.reasons) else "invalid"


@dataclass(frozen=True, slots=True)
class Status:
    """How far a backend is built; `whole` holds what is about no single vertex or edge."""

    plan: Plan
    vertices: dict[str, Part]
    edges: dict[str, Part]
    whole: Part

    @property
    def is_deployable(self) -> bool:
        """Whether everything is complete, so that the plan can be deployed."""
        return all(part.state == "complete" for part in (self.whole, *self.vertices.values(), *self.edges.values()))


def status_of(
    backend: Backend, releases: Releases, base: Path | None = None, inspect: Inspect | None = None, locate: Locate | None = None
) -> Status:
    """How far a backend is built.

    Args:
        backend: the graph.
        releases: where components are found.
        base: folder that file bindings are relative to; without one there are only artifacts.
        inspect, locate: as for `check_pipeline`.
    """
    plan = check_pipeline(backend, releases, base, inspect, locate)
    faults = plan.faults + _unchecked(backend, plan)
    whole = [fault for fault in faults if fault.about[0] not in ("vertex", "edge")]
    return Status(
        plan,
        {name: _part(faults, ("vertex", name)) for name in backend.vertices},
        {str(edge): _part(faults, ("edge", str(edge))) for edge in backend.edges},
        Part(tuple(whole)),
    )


def _part(faults: list[Fault], about: tuple[str, str]) -> Part:
    return Part(tuple(fault for fault in faults if fault.about == about))


def _unchecked(backend: Backend, plan: Plan) -> list[Fault]:
    """Edges whose types could not be compared, because a vertex before them is not complete."""
    planned = {vertex.name: vertex for vertex in plan.vertices}
    told = {fault.about for fault in plan.faults}

    def is_checked(edge: Edge) -> bool:
        target = planned.get(edge.dst_vertex)
        return target is not None and any(one[:3] == (edge.src_vertex, edge.src_port, edge.dst_port) for one in target.inputs)

    return [
        Fault("edge.unchecked", ("edge", str(edge)), "its types are not known until the vertices before it are complete")
        for edge in backend.edges
        if ("edge", str(edge)) not in told and not is_checked(edge)
    ]
