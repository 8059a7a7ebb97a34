"""Rewrites a planned deployment so that recorded records come in place of some of its sources, or before theirs."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from thalweg.errors import RejectedError
from thalweg.graph.accept import find_conflict
from thalweg.graph.parse import parse_type
from thalweg.graph.releases import Releases
from thalweg.graph.types import format_type
from thalweg.replay.feeding import check_feed
from thalweg.replay.feeds import Feed
from thalweg.wire.spec import OPENING, FileSpec, VertexSpec


def replace_sources(
    vertices: list[VertexSpec], feed: Feed, file: FileSpec, only: Collection[str], releases: Releases, *, go_on: bool
) -> list[VertexSpec]:
    """The vertices as they are deployed then.

    Args:
        vertices: as planned.
        feed: the records.
        file: where they are stored.
        only: which sources; all where none is named.
        releases: where the source is that reads the records.
        go_on: the sources go on by themselves where the records end.

    Raises:
        RejectedError: `vertex.unknown`, `replay.no_source`, `replay.no_input`; `replay.type`, records do not fit the graph;
            `replay.endpoint`, an input endpoint does not go on by itself.
    """
    known = {one.name for one in vertices}
    for name in only:
        if name not in known:
            raise RejectedError(f"there is no vertex {name!r}", code="vertex.unknown", hint=f"there are {', '.join(sorted(known))}")
    read = {(edge.src_vertex, edge.src_port) for one in vertices for edge in one.inputs}
    found = []
    for one in vertices:
        if one.name in only or (not only and not one.inputs):
            _check(one, feed, {port for port in one.outputs if (one.name, port) in read}, go_on=go_on)
            one = _opened(one, file) if go_on else _replaced(one, feed, file, releases)
        found.append(one)
    return found


def _check(vertex: VertexSpec, feed: Feed, ports: Collection[str], *, go_on: bool) -> None:
    check_feed(feed, vertex.name, ports, is_source=not vertex.inputs)
    for port, kind in feed.types.get(vertex.name, {}).items():
        declared = vertex.outputs.get(port)
        conflict = find_conflict(kind, parse_type(declared)) if declared is not None else None
        if declared is None or conflict is not None:
            what = f"{vertex.name}.{port} was {format_type(kind)}, and is {declared or 'not there'} now"
            raise RejectedError(what, code="replay.type", hint=conflict.reason if conflict is not None else None)
    if go_on and vertex.endpoint:
        hint = "replace it without --continue, or send it the records"
        raise RejectedError(f"{vertex.name} takes what comes from outside, from its beginning on", code="replay.endpoint", hint=hint)


def _opened(vertex: VertexSpec, file: FileSpec) -> VertexSpec:
    return msgspec.structs.replace(vertex, files={**vertex.files, OPENING: file}, fed=file.artifact)


def _replaced(vertex: VertexSpec, feed: Feed, file: FileSpec, releases: Releases) -> VertexSpec:
    release = releases.find(*feed.component)
    if release is None:
        raise RejectedError(f"there is no {'@'.join(feed.component)}", code="component.unknown")
    manifest = release.manifest
    params, _ = release.check_params({"vertex": vertex.name, "port": None})
    return VertexSpec(
        name=vertex.name,
        component="@".join(feed.component),
        digest=manifest.digest,
        code=manifest.code,
        kind="source",
        params=params,
        files={feed.slot: file},
        outputs=vertex.outputs,
        archive=manifest.archive,
        generation=vertex.generation,
        fed=file.artifact,
    )
