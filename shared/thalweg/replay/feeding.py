"""Arranges a graph so that recorded records come in place of some of its vertices; pure."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from thalweg.errors import RejectedError
from thalweg.graph.partitions import partition_of
from thalweg.graph.pipeline import Edge, Pipeline
from thalweg.graph.releases import ParamFault, Release, Releases
from thalweg.graph.types import StreamType
from thalweg.replay.commits import EVERYTHING, Window
from thalweg.replay.feeds import Feed, FixtureFeed, ReplayFeed, Types
from thalweg.wire.capturing import captured_ports
from thalweg.wire.spec import DeploymentSpec

COMPONENT, VERSION = ReplayFeed.component
ANSWERS, ANSWERS_VERSION, ANSWERS_PORT = "replay-answers", "1.0.0", "in"
FEEDING = (COMPONENT, FixtureFeed.component[0], ANSWERS)


def content_of(spec: DeploymentSpec) -> dict[str, Any]:
    """What ran, as the content of a pipeline file; files are bound by artifact."""
    live = [one for one in spec.vertices if not one.retired]
    vertices = {
        partition_of(one.name)[0]: {
            "component": one.component,
            "digest": one.digest or None,
            "params": one.params,
            "files": {slot: file.artifact for slot, file in one.files.items()},
            "secrets": one.secrets,
            "generated": one.generated,
            "on_error": one.on_error,
            "partitions": one.share.count if one.share is not None else 1,
            "key": one.share.key if one.share is not None else None,
        }
        for one in live
    }
    edges = dict.fromkeys(
        f"{partition_of(edge.src_vertex)[0]}.{edge.src_port} -> {partition_of(one.name)[0]}.{edge.dst_port}"
        for one in live
        for edge in one.inputs
    )
    return {"backend": spec.backend, "vertices": vertices, "edges": list(edges)}


def pinned(content: Mapping[str, Any], pins: Mapping[str, str], tried: Collection[str]) -> dict[str, Any]:
    """A copy with other releases.

    Args:
        content: of a pipeline file.
        pins: vertex -> name@version.
        tried: releases, as `name@version`, that are not the pinned ones of that name: digests are left aside.

    Raises:
        RejectedError: `vertex.unknown`.
    """
    found = copy.deepcopy(dict(content))
    for name, component in pins.items():
        if name not in found["vertices"]:
            raise unknown_vertex(name, found["vertices"])
        found["vertices"][name] |= {"component": component, "digest": None}
    for vertex in found["vertices"].values():
        if vertex["component"] in tried:
            vertex["digest"] = None
    return found


def fed(
    content: Mapping[str, Any],
    spec: DeploymentSpec,
    replay: Path,
    also: Collection[str],
    window: Window = EVERYTHING,
    *,
    answered: Collection[str] = (),
) -> tuple[Pipeline, list[str]]:
    """The graph with its sources, and some more vertices, replaced by what they have put out in a run; and the names of these.

    Vertices that are answered still read their input, but what they give for a record is what they gave for it then.

    Args:
        content: of a pipeline file.
        spec: of the run.
        replay: of the run.
        also: vertices that are replaced though they read inputs.
        window: which of their records come.
        answered: those; each has one input edge.

    Raises:
        RejectedError: `vertex.unknown`, or `replay.no_input`: the replay lacks records of a vertex that is replaced, or has too many.
        ValidationError: the content is not well formed.
    """
    pipeline = Pipeline.model_validate({**content, "expect": [], "aliases": {}})
    for name in also:
        if name not in pipeline.vertices:
            raise unknown_vertex(name, pipeline.vertices)
    read = {edge.dst_vertex for edge in pipeline.edges}
    replaced = [name for name in pipeline.vertices if name not in read or name in also]
    for name in replaced:
        _check_captured(spec, name, {edge.src_port for edge in pipeline.edges if edge.src_vertex == name})
    files = {"replay": str(replay)}
    source = {"component": f"{COMPONENT}@{VERSION}", "files": files}
    vertices = pipeline.model_dump(mode="json")["vertices"]
    vertices |= {name: {**source, "params": {"vertex": name, "port": None, **asdict(window)}} for name in replaced}
    vertices |= {name: answering(name, vertices[name], replay) for name in answered}
    edges: list[Edge] = [edge for edge in pipeline.edges if edge.dst_vertex not in replaced]
    edges = [edge.model_copy(update={"dst_port": ANSWERS_PORT}) if edge.dst_vertex in answered else edge for edge in edges]
    return Pipeline.model_validate({"backend": pipeline.backend, "vertices": vertices, "edges": list(map(str, edges))}), replaced


def answering(name: str, vertex: Mapping[str, Any], replay: Path) -> dict[str, Any]:
    """What takes a vertex's place and gives its answers, as in a pipeline file; a record that has none becomes a dead letter."""
    kept = {part: vertex[part] for part in ("partitions", "key") if part in vertex}
    component = f"{ANSWERS}@{ANSWERS_VERSION}"
    return {"component": component, "files": {"replay": str(replay)}, "params": {"vertex": name}, "on_error": "dead-letter", **kept}


def unknown_vertex(name: str, there: Collection[str]) -> RejectedError:
    """An error that says so."""
    return RejectedError(f"there is no vertex {name!r}", code="vertex.unknown", hint=f"there are {', '.join(there)}")


def _check_captured(spec: DeploymentSpec, name: str, ports: set[str]) -> None:
    vertex = next((one for one in spec.vertices if one.name == name), None)
    captured = {port for owner, port in captured_ports(spec) if owner == name}
    if vertex is not None and vertex.rewind is not None:
        raise RejectedError(f"{name} went back while it ran: the replay has some of its records twice", code="replay.no_input")
    if vertex is not None and vertex.retired:
        raise RejectedError(f"the partitions of {name} were changed while it ran: its records are in several ports", code="replay.no_input")
    if missing := sorted(ports - captured):
        had = "there was no such vertex" if vertex is None else "they were not captured"
        raise RejectedError(f"the replay has no records of {name}.{missing[0]}: {had}", code="replay.no_input")


def replaced(content: Mapping[str, Any], feed: Feed, only: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """A graph with sources replaced by the records of a file; and the names of these.

    Args:
        content: of a pipeline file, well formed.
        feed: the file.
        only: which sources; all of them where none is named.

    Raises:
        RejectedError: `vertex.unknown`; `replay.no_source`, one of them reads inputs; `replay.no_input`, the file lacks records of one.
        ValidationError: the content is not well formed.
    """
    pipeline = Pipeline.model_validate(dict(content))
    read = {edge.dst_vertex for edge in pipeline.edges}
    names = list(dict.fromkeys(only)) or [name for name in pipeline.vertices if name not in read]
    for name in names:
        if name not in pipeline.vertices:
            raise unknown_vertex(name, pipeline.vertices)
        ports = {edge.src_port for edge in pipeline.edges if edge.src_vertex == name}
        check_feed(feed, name, ports, is_source=name not in read)
    found = copy.deepcopy(dict(content))
    source = {"component": "@".join(feed.component), "files": {feed.slot: str(feed.path.resolve())}}
    found["vertices"] |= {name: {**source, "params": {"vertex": name, "port": None}} for name in names}
    aliases = {alias: place for alias, place in (found.get("aliases") or {}).items() if str(place).partition(".")[0] not in names}
    return ({**found, "aliases": aliases} if "aliases" in found else found), names


def check_feed(feed: Feed, name: str, ports: Collection[str], *, is_source: bool) -> None:
    """Refuses to feed a vertex that is none to be fed, or of which a file lacks records.

    Raises:
        RejectedError: `replay.no_source`, or `replay.no_input`.
    """
    if not is_source:
        raise RejectedError(f"{name} reads inputs: only sources are replaced", code="replay.no_source")
    if missing := sorted(set(ports) - set(feed.types.get(name, {}))):
        there = ", ".join(f"{vertex}.{port}" for vertex, types in feed.types.items() for port in types) or "none"
        raise RejectedError(f"{feed.path.name} has no records of {name}.{missing[0]}", code="replay.no_input", hint=f"it has {there}")


class FedReleases:
    """Releases where what stands in for vertices has the ports that were recorded, whichever vertex it is.

    Args:
        releases: where all others are found.
        types: of the ports.
        names: of the components that stand in.
    """

    def __init__(self, releases: Releases, types: Types, names: Collection[str] = FEEDING) -> None:
        self._releases, self._types, self._names = releases, types, names

    def names(self) -> list[str]:
        """Every `name@version`."""
        return self._releases.names()

    def versions(self, name: str) -> list[str]:
        """Versions of a component, the latest last."""
        return self._releases.versions(name)

    def find(self, name: str, version: str) -> Release | None:
        """The release, or None."""
        found = self._releases.find(name, version)
        return _FedRelease(found, self._types) if found is not None and name in self._names else found


class _FedRelease:
    yanked: str | None = None

    def __init__(self, release: Release, types: Types) -> None:
        self._release, self._types = release, types
        ports = dict.fromkeys((port for own in types.values() for port in own), "T")
        self.manifest = release.manifest.model_copy(update={"outputs": ports})

    def check_params(self, params: dict[str, Any]) -> tuple[dict[str, Any], list[ParamFault]]:
        """Those of the release itself."""
        return self._release.check_params(params)

    def resolve(self, params: dict[str, Any], inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The ports that the vertex had in the run."""
        if params.get("port") is not None or params["vertex"] not in self._types:
            return self._release.resolve(params, inputs, files)
        return dict(self._types[params["vertex"]])
