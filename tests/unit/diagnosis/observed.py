"""Builds observed facts: a chain `rows -> keep -> save` that is healthy, and what is to be different."""

from __future__ import annotations

from typing import Any

from thalweg.client.diagnosis import Diagnosis, diagnose
from thalweg.client.diagnosis.facts import Facts
from thalweg.wire import subjects
from thalweg.wire.commit import END_OF_TIME, Commit, Counters, Failure, PortDigest
from thalweg.wire.spec import DeploymentSpec, EdgeSpec, VertexSpec

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND
K = 32


def edge(src: str, dst_port: str = "in", src_port: str = "out") -> EdgeSpec:
    return EdgeSpec(src, src_port, dst_port, "int")


def vertex(name: str, *inputs: EdgeSpec, outputs: tuple[str, ...] = ("out",), **more: Any) -> VertexSpec:
    kind = "source" if not inputs else "processor" if outputs and more.get("endpoint") != "out" else "sink"
    given = {"component": f"{name}@1.0.0", "digest": "", "code": "", **more}
    given = {"kind": kind, **given}
    return VertexSpec(name, inputs=list(inputs), outputs=dict.fromkeys(outputs, "int"), **given)


def chain(**keep: Any) -> list[VertexSpec]:
    return [vertex("rows"), vertex("keep", edge("rows"), **keep), vertex("save", edge("keep"), outputs=())]


def said(
    taken: int = 0,
    given: int = 0,
    *,
    port: str = "out",
    filtered: int = 0,
    dead: int = 0,
    late: int = 0,
    dropped: int = 0,
    failure: Failure | None = None,
    ended: bool = False,
    **more: Any,
) -> Commit:
    """The newest commit of a vertex that has taken and given so many records."""
    counters = Counters(taken, given, filtered, dead, late, dropped=dropped)
    if ended:
        more.setdefault("watermark", END_OF_TIME)
    return Commit(**{"epoch": 1, "number": 5, **more}, counters=counters, ports={port: PortDigest(given, "")}, failure=failure, ended=ended)


RUNNING = {"rows": said(100, 100), "keep": said(100, 60, filtered=40), "save": said(60, port="_")}
ENDED = {"rows": said(100, 100, ended=True), "keep": said(100, 60, filtered=40, ended=True), "save": said(60, port="_", ended=True)}


def facts(
    commits: dict[str, Commit],
    vertices: list[VertexSpec] | None = None,
    *,
    idle_s: dict[str, float] | None = None,
    deployed_s: float = 600,
    spec: dict[str, Any] | None = None,
    full: tuple[str, ...] = (),
    **more: Any,
) -> Facts:
    """Facts about a deployment; the vertices of `idle_s` have not moved for so long, all others have.

    Args:
        full: ports, as `vertex.port`, whose subjects are full.
    """
    vertices = vertices or chain()
    idle_s = idle_s or {}
    earlier = {name: commit if name in idle_s else said() for name, commit in commits.items()}
    known = DeploymentSpec(
        "w",
        "d",
        "b",
        vertices,
        **{"revision": 1, "deployed_ns": NOW - int(deployed_s * SECOND), "max_messages_per_subject": K, **(spec or {})},
    )
    written = {name: NOW - int(idle_s.get(name, 0.1) * SECOND) for name in commits}
    counts = {subject(one): K for one in full}
    given = {"between_s": 1.0, "now_ns": NOW, "since_ns": known.deployed_ns, "counts": counts, **more}
    return Facts(known, commits, earlier=earlier, written_ns=written, **given)


def found(observed: Facts, towards: str | None = None) -> list[tuple[str, str, str | None]]:
    """Severity, code and vertex of each finding."""
    return [(one.severity, one.code, one.vertex) for one in diagnosed(observed, towards).findings]


def diagnosed(observed: Facts, towards: str | None = None) -> Diagnosis:
    return diagnose(observed, towards)


def subject(place: str) -> str:
    name, port = place.split(".")
    return subjects.port("w", "d", name, port)
