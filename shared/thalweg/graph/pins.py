"""Operations that pin a backend's vertices to releases by version and digest."""

from __future__ import annotations

from thalweg.graph.backend import Backend
from thalweg.graph.operations import Operation, PinRelease
from thalweg.graph.releases import Releases, is_yanked, latest_of, version_order


def pin_latest(backend: Backend, releases: Releases) -> list[Operation]:
    """Pins each vertex that has no version to the latest that is not yanked; one whose component is unknown is left as it is."""
    edits: list[Operation] = []
    for name, vertex in backend.vertices.items():
        version = None if "@" in vertex.component else latest_of(vertex.component, releases)
        if version is not None:
            component = f"{vertex.component}@{version}"
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


def yanked_pins(backend: Backend, releases: Releases) -> list[str]:
    """A line for each vertex that pins a release that is yanked."""
    found = []
    for name, vertex in backend.vertices.items():
        release = releases.find(*vertex.component.split("@", 1)) if "@" in vertex.component else None
        if release is not None and release.yanked is not None:
            newer = newer_versions(vertex.component, releases)
            why = f": {release.yanked}" if release.yanked else ""
            found.append(f"vertex {name}: {vertex.component} is yanked{why}" + (f"; newer: {', '.join(newer)}" if newer else ""))
    return found


def newer_versions(component: str, releases: Releases) -> list[str]:
    """Versions of a pinned component that are newer and not yanked, the latest last; pre-releases only behind one."""
    name, _, version = component.partition("@")
    newer = [one for one in releases.versions(name) if version_order(one) > version_order(version)]
    return [one for one in newer if ("-" not in one or "-" in version) and not is_yanked(name, one, releases)]


def _digest(component: str, releases: Releases) -> str | None:
    release = releases.find(*component.split("@", 1))
    return release.manifest.digest or None if release else None
