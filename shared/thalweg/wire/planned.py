"""Turns planned vertices into what is deployed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from thalweg.graph.pipeline import Expectation
from thalweg.graph.plan import PlannedVertex
from thalweg.graph.types import format_type
from thalweg.wire.spec import EdgeSpec, ExpectSpec, FileSpec, Share, VertexSpec


def split(vertices: Sequence[VertexSpec], planned: Sequence[PlannedVertex]) -> list[VertexSpec]:
    """The vertices of a graph with each partition as one of its own; whoever reads a vertex reads all of its partitions.

    Args:
        vertices: in topological order.
        planned: the same ones, which say how they are to be split.
    """
    split_ones = {one.name: one for one in planned if one.partitions > 1}
    found: list[VertexSpec] = []
    for vertex in vertices:
        inputs = [
            msgspec.structs.replace(edge, src_vertex=source)
            for edge in vertex.inputs
            for source in (split_ones[edge.src_vertex].parts if edge.src_vertex in split_ones else [edge.src_vertex])
        ]
        whole, own = msgspec.structs.replace(vertex, inputs=inputs), split_ones.get(vertex.name)
        if own is None:
            found.append(whole)
            continue
        parts = enumerate(own.parts)
        found += [msgspec.structs.replace(whole, name=name, share=Share(index, own.partitions, own.key)) for index, name in parts]
    return found


def spec_of(planned: PlannedVertex, files: Mapping[str, FileSpec] = MappingProxyType({}), generation: int = 1) -> VertexSpec:
    """A planned vertex as deployed: its release pinned by digest, its files bound by artifact."""
    manifest = planned.manifest
    return VertexSpec(
        name=planned.name,
        component=f"{manifest.name}@{manifest.version}",
        digest=manifest.digest,
        code=manifest.code,
        archive=manifest.archive,
        kind=manifest.kind,
        params=planned.params,
        files=dict(files),
        generated=planned.generated,
        secrets=planned.secrets,
        on_error=planned.on_error,  # type: ignore[arg-type]
        inputs=[EdgeSpec(vertex, port, own, format_type(kind)) for vertex, port, own, kind in planned.inputs],
        outputs={port: format_type(kind) for port, kind in planned.outputs.items()},
        deterministic=manifest.deterministic,
        endpoint=manifest.endpoint,
        combine=manifest.combine,
        memory=manifest.memory,
        generated_types={slot: declared.type for slot, declared in manifest.generated_file_schema.items()},
        generation=generation,
    )


def bound_artifact(artifact: str) -> FileSpec:
    """A file that is bound by its artifact id alone."""
    return FileSpec(artifact, artifact.removeprefix("sha256:")[:16], 0)


def expectations_of(expect: list[Expectation]) -> list[ExpectSpec]:
    """Expectations as deployed."""
    return [ExpectSpec(one.vertex, one.port, one.count.min, one.count.max) for one in expect]
