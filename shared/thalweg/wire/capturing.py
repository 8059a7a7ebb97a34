"""What is captured of a deployment: nothing, all, what comes in and goes out, or some ports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from thalweg.errors import RejectedError
from thalweg.graph.partitions import partition_of
from thalweg.wire import subjects
from thalweg.wire.spec import DeploymentSpec
from thalweg.wire.subjects import COMMIT_PORT, DEAD_PORT

NONE, ALL, BOUNDARY = "none", "all", "boundary"
ERROR, EXPECTATION, DEAD_LETTER = "error", "expectation", "dead-letter"
TRIGGERS = (ERROR, EXPECTATION, DEAD_LETTER)
_HINT = "all, boundary, none, or ports as in camera.out,reader.out"


def check_capture(capture: str, outputs: Mapping[str, Iterable[str]]) -> None:
    """Refuses a selection that does not fit what is deployed.

    Args:
        capture: as in `DeploymentSpec`.
        outputs: names of output ports, by vertex.

    Raises:
        RejectedError: `capture.invalid`.
    """
    if capture in (NONE, ALL, BOUNDARY):
        return
    known = {f"{partition_of(vertex)[0]}.{port}" for vertex, ports in outputs.items() for port in ports}
    for name in capture.split(","):
        if name not in known:
            raise RejectedError(f"capture: there is no output port {name!r}", code="capture.invalid", hint=_HINT)


def captured_ports(spec: DeploymentSpec) -> list[tuple[str, str]]:
    """(vertex, port) of every output port whose records are captured, in order."""
    every = [(one.name, port) for one in spec.vertices for port in one.outputs]
    if spec.capture == ALL:
        return every
    if spec.capture == BOUNDARY:
        sources = {one.name for one in spec.vertices if one.kind == "source"}
        sinks = [one for one in spec.vertices if one.kind == "sink" and not one.endpoint]  # an endpoint is captured as such
        into_sinks = {(edge.src_vertex, edge.src_port) for one in sinks for edge in one.inputs}
        at_the_ends = sources | {one.name for one in sinks}
        return [(vertex, port) for vertex, port in every if vertex in at_the_ends or (vertex, port) in into_sinks]
    wanted = set(spec.capture.split(","))
    return [(vertex, port) for vertex, port in every if f"{partition_of(vertex)[0]}.{port}" in wanted]


def captured_subjects(spec: DeploymentSpec) -> list[str]:
    """The subjects to read, wildcards among them; none overlaps another. All are captured with the commits that tell their counts."""
    if spec.capture == NONE:
        return []
    if spec.capture == ALL:
        return [subjects.everything(spec.workspace, spec.name)]
    place = (spec.workspace, spec.name)
    own = [subjects.port(*place, one.name, port) for one in spec.vertices for port in (COMMIT_PORT, DEAD_PORT)]
    ports = [subjects.port(*place, vertex, port) for vertex, port in captured_ports(spec)]
    outside = list(subjects.outside(*place)) if spec.capture == BOUNDARY else []
    return sorted({*own, *ports, *outside})


class Captured(msgspec.Struct, frozen=True):
    """What became of a capture.

    Attributes:
        artifact: id of the replay; None where there is none.
        size_bytes: of it.
        complete: whether it has all that was to be captured.
        reason: why not.
        messages: of the log, that it has.
        window: it has the last part of the run alone, and `complete` is said of that.
    """

    artifact: str | None = None
    size_bytes: int = 0
    complete: bool = False
    reason: str | None = None
    messages: int = 0
    window: bool = False


class SaveRequest(msgspec.Struct, frozen=True):
    """That the last part of a log is to be saved.

    Attributes:
        id: of the window.
        deployed_ns: of the deployment.
        sequence: it is to reach up to there, at least.
        cause: why.
        by_itself: a trigger has asked for it.
    """

    id: str
    deployed_ns: int
    sequence: int
    cause: str
    by_itself: bool = False


class SavedWindow(msgspec.Struct, frozen=True):
    """A window that was saved.

    Attributes:
        id, cause, by_itself: as it was asked for.
        captured: what became of it.
        first, last: sequences of the log.
        from_ns, to_ns: when these were stored, UTC.
    """

    id: str
    cause: str
    by_itself: bool
    captured: Captured
    first: int = 0
    last: int = 0
    from_ns: int = 0
    to_ns: int = 0


class RingNote(msgspec.Struct, frozen=True):
    """How a ring stands, as its capture says it now and then.

    Attributes:
        deployed_ns: of the deployment.
        first, last, from_ns, to_ns, size_bytes: what it holds.
        seen: triggers have looked at the log up to there.
        errors: counts of errors by vertex, as of there.
        told: what has set off a trigger that does so once.
        triggered_ns: when a trigger was last heeded; 0 for never.
        passed_over: how many were not, as they came too soon behind that one.
        saved: the newest windows, oldest first.
        failing: why nothing is kept any more.
    """

    deployed_ns: int
    first: int = 0
    last: int = 0
    from_ns: int = 0
    to_ns: int = 0
    size_bytes: int = 0
    seen: int = 0
    errors: dict[str, int] = {}
    told: list[str] = []
    triggered_ns: int = 0
    passed_over: int = 0
    saved: list[SavedWindow] = []
    failing: str | None = None
