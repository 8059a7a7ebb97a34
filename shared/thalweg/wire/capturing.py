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
    """

    artifact: str | None = None
    size_bytes: int = 0
    complete: bool = False
    reason: str | None = None
    messages: int = 0
