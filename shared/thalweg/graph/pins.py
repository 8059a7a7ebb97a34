"""Operations that pin a backend's vertices to releases by version and digest."""

from __future__ import annotations

from thalweg.graph.backend import Backend
from thalweg.graph.operations import Operation, PinRelease
from thalweg.graph.releases import Releases


def pin_latest(backend: Backend, releases: Releases) -> list[Operation]:
    """Pins each vertex that has no version to the latest; one whose component is unknown is left as it is."""
    edits: list[Operation] = []
    for name, vertex in backend.vertices.items():
        versions = [] if "@" in vertex.component else releases.versions(vertex.component)
        if versions:
            component = f"{vertex.component}@{versions[-1]}"
            edits.append(PinRelease(vertex=name, component=component, digest=_digest(component, releases)))
    return edits


def pin_digests(backend: Backend, releases: Releases) -> list[Operation]:
    """Gives each vertex that has a version and no digest the digest of that release; an unknown one is left as it is."""
    edits: list[Operation] = []
    for name, vertex in backend.vertices.items():
        digest = _digest(vertex.component, releases) if "@" in vertex.component and vertex.digest is None else None
        if digest:
            edits.append(PinRelease(vertex=name, component=vertex.component, digest=digest))
    return edits


def _digest(component: str, releases: Releases) -> str | None:
    release = releases.find(*component.split("@", 1))
    return release.manifest.digest or None if release else None
