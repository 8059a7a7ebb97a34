"""Turns planned vertices into what is deployed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from thalweg.graph.pipeline import Expectation
from thalweg.graph.plan import PlannedVertex
from thalweg.graph.types import format_type
from thalweg.wire.spec import EdgeSpec, ExpectSpec, FileSpec, VertexSpec


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
        generated_types={slot: declared.type for slot, declared in manifest.generated_file_schema.items()},
        generation=generation,
    )


def bound_artifact(artifact: str) -> FileSpec:
    """A file that is bound by its artifact id alone."""
    return FileSpec(artifact, artifact.removeprefix("sha256:")[:16], 0)


def expectations_of(expect: list[Expectation]) -> list[ExpectSpec]:
    """Expectations as deployed."""
    return [ExpectSpec(one.vertex, one.port, one.count.min, one.count.max) for one in expect]
