"""Decides which vertices of a graph that is run again are given, or answered by, what a replay has of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from thalweg.errors import RejectedError
from thalweg.graph.partitions import partition_of
from thalweg.graph.pipeline import Edge
from thalweg.graph.releases import Releases
from thalweg.replay.answers import answers_all
from thalweg.replay.feeding import ANSWERS, ANSWERS_PORT, ANSWERS_VERSION, COMPONENT, VERSION, unknown_vertex
from thalweg.replay.reader import Replay
from thalweg.wire.capturing import captured_ports
from thalweg.wire.spec import DeploymentSpec, FileSpec, VertexSpec


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked for.

    Attributes:
        recorded: vertices that do not run, but are given as they were recorded.
        live: vertices that run, though they are not deterministic.
        tried: releases, as `name@version`, that come in place of those that ran; they may be the same.
    """

    recorded: Collection[str] = ()
    live: Collection[str] = ()
    tried: Collection[str] = ()


@dataclass(slots=True)
class StandIns:
    """What comes of it.

    Attributes:
        given: vertices beside the sources that do not run: all that they put out comes as it was.
        answered: vertices that are answered record by record.
        notes: what is to be known of the others that are not deterministic, as lines.
    """

    given: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def plan_stand_ins(
    content: Mapping[str, Any], replay: Replay, ran: DeploymentSpec, wishes: Wishes, releases: Releases, *, sources_run: bool = False
) -> StandIns:
    """Decides it. A vertex that is not deterministic is answered, unless it is to run, is another one now, or was not captured.

    Args:
        content: of a pipeline file: what is to run.
        replay, ran: of the run.
        wishes: see there.
        releases: where components are found.
        sources_run: sources are vertices like any other; else their records come out of the replay anyway.

    Raises:
        RejectedError: `vertex.unknown`, `rerun.contradiction`, `replay.damaged`.
    """
    vertices, edges = content["vertices"], [Edge.model_validate(one) for one in content.get("edges", [])]
    reads = Counter(edge.dst_vertex for edge in edges)
    _check(wishes, vertices, reads if not sources_run else Counter(vertices.keys()))
    found = StandIns(list(wishes.recorded))
    for name, parts in parts_of(ran).items():
        one = parts[0]
        is_asked = name in (*wishes.recorded, *wishes.live)
        if one.deterministic or is_asked or one.kind == "sink" or name not in vertices or not (one.inputs or sources_run):
            continue
        why = _why_live(parts, ran, vertices[name], wishes.tried, releases)
        is_answerable = why is None and reads[name] == 1 and _is_answerable(parts, ran, replay)
        if why is None and (one.share is not None or len(parts) > 1) and not is_answerable:
            why = "it had partitions"
        if why is not None:
            found.notes.append(f"{name} is not deterministic, and runs: {why}; it, and what follows it, may differ")
        else:
            (found.answered if is_answerable else found.given).append(name)
    return found


def parts_of(ran: DeploymentSpec) -> dict[str, list[VertexSpec]]:
    """The partitions of each vertex; one for those that have none."""
    found: dict[str, list[VertexSpec]] = {}
    for one in ran.vertices:
        found.setdefault(partition_of(one.name)[0], []).append(one)
    return found


def _check(wishes: Wishes, vertices: Collection[str], runs: Collection[str]) -> None:
    for name in (*wishes.recorded, *wishes.live):
        if name not in vertices:
            raise unknown_vertex(name, vertices)
    for name in wishes.live:
        if name in wishes.recorded or name not in runs:
            why = "it is to be given as it was recorded" if name in wishes.recorded else "it is a source, whose records are in the replay"
            raise RejectedError(f"{name} cannot run live: {why}", code="rerun.contradiction")


def _why_live(
    parts: list[VertexSpec], ran: DeploymentSpec, now: Mapping[str, Any], tried: Collection[str], releases: Releases
) -> str | None:
    vertex = parts[0]
    if now["component"] != vertex.component or _is_tried(vertex, tried, releases) or not _has_params(vertex, now, releases):
        return "it is another one than in the recorded run"
    files = {slot: str(text) for slot, text in (now.get("files") or {}).items()}
    if any(files.get(slot, "").startswith("sha256:") and files[slot] != file.artifact for slot, file in vertex.files.items()):
        return "it has other files than in the recorded run"
    if vertex.generated:
        return "it leaves files"
    if any(one.rewind is not None for one in parts):
        return "it went back in the recorded run"
    captured = captured_ports(ran)
    missing = [f"{one.name}.{port}" for one in parts for port in one.outputs if (one.name, port) not in captured]
    return f"{missing[0]} was not captured" if missing else None


def _is_tried(vertex: VertexSpec, tried: Collection[str], releases: Releases) -> bool:
    """Whether its release is one that is tried, and not the one that ran."""
    release = releases.find(*vertex.component.split("@", 1)) if vertex.component in tried else None
    return vertex.component in tried and (release is None or release.manifest.digest != vertex.digest)


def _has_params(vertex: VertexSpec, now: Mapping[str, Any], releases: Releases) -> bool:
    """Whether it has the params that it had: what runs is written with every default, what is stored is not."""
    params = dict(now.get("params") or {})
    release = releases.find(*vertex.component.split("@", 1)) if params != vertex.params else None
    return params == vertex.params or (release is not None and release.check_params(params)[0] == vertex.params)


def _is_answerable(parts: list[VertexSpec], ran: DeploymentSpec, replay: Replay) -> bool:
    """Whether its answers can be told apart by the record that they are to."""
    if any(len(one.inputs) != 1 for one in parts):
        return False
    source = parts[0].inputs[0].src_vertex, parts[0].inputs[0].src_port
    ports = [(one.name, port) for one in parts for port in one.outputs]
    return {source, *ports} <= set(captured_ports(ran)) and answers_all(replay, source, ports)


def unanswered(answered: Collection[str], dead: Mapping[str, int]) -> list[str]:
    """What is to be known of records that the replay has no answers to, as lines.

    Args:
        answered: vertices.
        dead: dead letters of each vertex, partitions by themselves.
    """
    counts = {name: sum(count for part, count in dead.items() if partition_of(part)[0] == name) for name in answered}
    return [
        f"{name}: the replay has no answer to {count:,} {'record' if count == 1 else 'records'}, which were left out (dead letters): "
        f"`--live {name}` asks it now"
        for name, count in counts.items()
        if count
    ]


def put_in(vertices: Iterable[VertexSpec], stand_ins: StandIns, replay: FileSpec, releases: Releases) -> list[VertexSpec]:
    """Vertices as deployed, with what stands in for some of them."""
    source, answers = releases.find(COMPONENT, VERSION), releases.find(ANSWERS, ANSWERS_VERSION)
    assert source is not None and answers is not None
    plain: dict[str, Any] = {"archive": "", "files": {"replay": replay}, "generated": {}, "generated_types": {}, "secrets": {}}
    found = []
    for one in vertices:
        vertex = partition_of(one.name)[0]
        if vertex in stand_ins.answered:
            inputs = [msgspec.structs.replace(edge, dst_port=ANSWERS_PORT) for edge in one.inputs]
            one = msgspec.structs.replace(
                one, **plain, **_release(answers), params={"vertex": vertex}, inputs=inputs, on_error="dead-letter"
            )
        elif one.name in stand_ins.given:
            params = {"vertex": one.name, "port": None}
            one = msgspec.structs.replace(one, **plain, **_release(source), params=params, inputs=[], stop_after=None, on_error="fail")
        found.append(one)
    return found


def _release(release: Any) -> dict[str, Any]:
    manifest = release.manifest
    return {
        "component": f"{manifest.name}@{manifest.version}",
        "digest": manifest.digest,
        "code": manifest.code,
        "kind": manifest.kind,
        "combine": manifest.combine,
        "deterministic": True,
    }
