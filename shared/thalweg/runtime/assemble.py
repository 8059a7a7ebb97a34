"""Makes the engine of a vertex from its spec and its release."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from thalweg.graph.types import StreamType, Variable
from thalweg.runtime.engine import Engine, Limits
from thalweg.runtime.inputs import Edge
from thalweg.runtime.program import Program
from thalweg.sdk.records import python_type
from thalweg.sdk.release import ComponentRelease
from thalweg.wire.spec import VertexSpec


def assemble(
    spec: VertexSpec,
    release: ComponentRelease,
    files: dict[str, Path],
    generated: dict[str, Path],
    limits: Limits,
    parse: Callable[[str], StreamType],
    secrets: Mapping[str, str] = MappingProxyType({}),
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

    Raises:
        RejectedError: a secret that the component needs is not bound (`secret.unbound`).
    """
    component = release.component
    inputs = {edge.dst_port: parse(edge.type) for edge in spec.inputs}
    outputs = {port: parse(kind) for port, kind in spec.outputs.items()}
    program = Program(component, spec.name, spec.params, inputs, outputs, files, generated, secrets)
    ordered = sorted(spec.inputs, key=lambda edge: (list(component.inputs).index(edge.dst_port), edge.src_vertex, edge.src_port))
    edges = [
        Edge(
            edge.key,
            edge.dst_port,
            order,
            value_class(component.inputs[edge.dst_port], inputs[edge.dst_port], release, edge.dst_port),
            (1, 0),
        )
        for order, edge in enumerate(ordered)
    ]
    return Engine(spec.name, program, edges, outputs, spec.on_error, limits, has_spool=bool(generated))


def value_class(annotation: Any, arriving: StreamType, release: ComponentRelease, port: str) -> Any:
    """What an edge's values are decoded into: the author's own class, or one made from the resolved type for pass-through ports."""
    declared = release.inputs[port]
    if isinstance(declared, Variable) or (declared == arriving and not isinstance(annotation, type)):
        return python_type(arriving)
    return annotation
