"""The spec of a vertex that is in no graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thalweg.graph.accept import find_conflict, substitute
from thalweg.graph.types import StreamType, format_type
from thalweg.sdk.release import ComponentRelease
from thalweg.wire.spec import EdgeSpec, OnError, VertexSpec


def vertex_of(
    release: ComponentRelease,
    name: str,
    kinds: Mapping[str, StreamType],
    params: Mapping[str, Any] | None = None,
    on_error: OnError = "fail",
    files: Mapping[str, Path] | None = None,
) -> VertexSpec:
    """A vertex with one edge into each port that is given a type.

    Args:
        release: what it runs.
        name: of the vertex.
        kinds: what arrives, by input port.
        params: as in a pipeline file.
        on_error: as there.
        files: local path per input file slot.

    Raises:
        ValueError: params or types are not accepted.
    """
    checked, faults = release.check_params(dict(params or {}))
    if faults:
        raise ValueError("; ".join(f"{one.path}: {one.message}" for one in faults))
    bindings: dict[str, StreamType] = {}
    for port, kind in kinds.items():
        if conflict := find_conflict(kind, release.inputs[port], bindings):
            raise ValueError(f"port {port}: {conflict.reason} at {conflict.path or 'the top'}")
    resolved = release.resolve(checked, dict(kinds), dict(files or {}))
    manifest = release.manifest
    return VertexSpec(
        name=name,
        component=f"{manifest.name}@{manifest.version}",
        digest=manifest.digest,
        code="",
        kind=manifest.kind,
        params=checked,
        on_error=on_error,
        inputs=[EdgeSpec(f"from_{port}", "out", port, format_type(kind)) for port, kind in kinds.items()],
        outputs={port: format_type(substitute(kind, bindings)) for port, kind in resolved.items()},
        generated={slot: declared.default_name for slot, declared in manifest.generated_file_schema.items()},
    )
