"""Makes the engine of a vertex from its spec and its release."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, get_origin

from thalweg.graph.accept import is_generic
from thalweg.graph.partitions import partition_of
from thalweg.graph.types import StreamType
from thalweg.runtime.engine import Engine, Limits
from thalweg.runtime.inputs import Edge
from thalweg.runtime.opening import Opening
from thalweg.runtime.program import Program
from thalweg.runtime.recorded_order import RecordedOrder
from thalweg.runtime.redaction import Redaction
from thalweg.sdk.adopt import Build, adopter
from thalweg.sdk.outside import unpacker
from thalweg.sdk.records import python_type
from thalweg.sdk.release import ComponentRelease
from thalweg.wire.spec import INLET_KEY, EdgeSpec, VertexSpec


def assemble(
    spec: VertexSpec,
    release: ComponentRelease,
    files: dict[str, Path],
    generated: dict[str, Path],
    limits: Limits,
    parse: Callable[[str], StreamType],
    secrets: Mapping[str, str] = MappingProxyType({}),
    redaction: Redaction | None = None,
    *,
    traced: bool = False,
    opening: Opening | None = None,
    run: str = "",
    order: RecordedOrder | None = None,
) -> Engine:
    """The engine of a vertex, not restored yet.

    Args:
        spec: the vertex as deployed.
        release: its component.
        files: local path per input file slot.
        generated: local path per generated file slot.
        limits: when commits are cut.
        parse: turns the spec's type texts into stream types.
        secrets: value per secret slot.
        redaction: of what the vertex writes, None where it has no secrets.
        traced: as `DeploymentSpec.is_traced`.
        opening: what a source puts out before its own records.
        run: names the life of the deployment.
        order: of another run, in which inputs are taken; None where the component's own rule decides.

    Raises:
        RejectedError: a secret that the component needs is not bound (`secret.unbound`).
    """
    component = release.component
    ports = dict.fromkeys(edge.dst_port for edge in spec.inputs)
    inputs = {port: _port_type(release.inputs[port], {edge.type for edge in spec.inputs if edge.dst_port == port}, parse) for port in ports}
    outputs = {port: parse(kind) for port, kind in spec.outputs.items()}
    inlet = _inlet(outputs["out"]) if spec.endpoint == "in" else None
    if inlet is not None:
        inputs["in"] = outputs["out"]
    program = Program(component, spec.name, spec.params, inputs, outputs, files, generated, secrets, opening)
    program.context.run = run
    ordered = in_rank_order(spec, release)
    # By vertex, not by partition: ids stay what they are when partitions are changed, and no two partitions give the same.
    ranks = {rank: index for index, rank in enumerate(dict.fromkeys(_rank(edge, release) for edge in ordered))}
    edges = [
        Edge(
            edge.key,
            edge.dst_port,
            order,
            *value_class(component.inputs[edge.dst_port], release.inputs[edge.dst_port], parse(edge.type)),
            spec.share,
            ranks[_rank(edge, release)],
        )
        for order, edge in enumerate(ordered)
    ]
    return Engine(
        spec.name,
        program,
        edges if inlet is None else [inlet],
        outputs,
        spec.on_error if inlet is None else "dead-letter",  # what anyone may send stops nothing
        limits,
        has_spool=bool(generated),
        stop_after=spec.stop_after,
        redaction=redaction,
        traced=traced,
        inlet=inlet,
        order=order,
    )


def in_rank_order(spec: VertexSpec, release: ComponentRelease) -> list[EdgeSpec]:
    """Its input edges; ties between them go to the earlier one."""
    # By number: of records of one time, those of a partition that was retired come before those of the ones in its place.
    return sorted(spec.inputs, key=lambda edge: (_rank(edge, release), partition_of(edge.src_vertex)[1]))


def _rank(edge: EdgeSpec, release: ComponentRelease) -> tuple[int, str, str]:
    return list(release.component.inputs).index(edge.dst_port), partition_of(edge.src_vertex)[0], edge.src_port


def _inlet(kind: StreamType) -> Edge:
    """The edge of an input endpoint: records are bytes, as anyone may have sent them, until they are found to be of its type."""
    return Edge(INLET_KEY, "in", 0, bytes, unpacker(kind))


def _port_type(declared: StreamType, arriving: set[str], parse: Callable[[str], StreamType]) -> StreamType:
    """What a port is given: what arrives, or, where edges bring several types, what it declares."""
    return parse(next(iter(arriving))) if len(arriving) == 1 else declared


def value_class(annotation: Any, declared: StreamType, arriving: StreamType) -> tuple[Any, Build | None]:
    """What an edge's values are decoded into, and the step from there to what the component is given, where there is one.

    The author's own class; one made from the type where the port is generic; that one, with a step to the author's class, where
    msgspec cannot decode into it.
    """
    if is_generic(declared):
        return python_type(arriving), None
    if get_origin(annotation) is Annotated:
        return python_type(declared), None
    build = adopter(annotation, arriving)
    return (annotation, None) if build is None else (python_type(declared), build)
