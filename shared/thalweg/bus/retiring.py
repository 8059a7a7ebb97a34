"""Retires partitions on a deployment log, and reads there what those in their place, and their readers, have to know."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
from nats.aio.client import Client

from thalweg.bus.heads import last_message
from thalweg.bus.history import is_whole
from thalweg.bus.writer import Writer
from thalweg.errors import FencedOutError, RunFailedError, StaleClaimError
from thalweg.wire import subjects
from thalweg.wire.commit import Commit
from thalweg.wire.dead_letters import AGAIN_KEY
from thalweg.wire.partitions import formers_of
from thalweg.wire.spec import DeploymentSpec, VertexSpec
from thalweg.wire.subjects import COMMIT_PORT
from thalweg.wire.takeover import Takeover, first_commit, passed_of

_EMPTY = msgspec.msgpack.encode({"v": [], "t": [], "k": [], "s": None})


async def retire(client: Client, spec: DeploymentSpec, vertex: VertexSpec) -> Commit:
    """Fences a retired partition out for good, where that is not done yet; its last commit: nothing of it follows.

    Whoever needs to know that calls this, in any number at once. The commit goes to a subject of its own, which has room however full
    those of the ports are, as their readers may be waiting for just this.

    Args:
        client: NATS connection.
        spec: what is deployed.
        vertex: of it, `retired`.

    Raises:
        RunFailedError: `log.gone`, or the log refuses it.
    """
    place = spec.workspace, spec.name, vertex.name
    writer = Writer(client, *place)
    while True:
        found = await last_message(client, subjects.stream(*place[:2]), subjects.vertex_prefix(*place))
        last = found.commit if found is not None and found.commit is not None else Commit(epoch=0, number=0)
        if last.retired >= vertex.retired or last.ended:
            return last
        writer.last_sequence = found.sequence if found is not None else 0
        said: dict[str, Any] = {"claim": True, "retired": vertex.retired, "failure": None, "waits_for": None, "taken": []}
        commit = msgspec.structs.replace(last, epoch=last.epoch + 1, number=last.number + 1, **said)
        with suppress(StaleClaimError, FencedOutError):  # it has written meanwhile, or somebody else does the same
            await writer.write([(COMMIT_PORT, _EMPTY)], commit)
            return commit


async def read_takeover(client: Client, spec: DeploymentSpec, vertex: VertexSpec) -> Takeover:
    """What a vertex has to know of partitions that were retired; retires them first.

    Raises:
        RunFailedError: `log.gone`; `log.trimmed` or `partitions.given_again`, its state cannot be made anew.
    """
    generations = formers_of(spec, vertex)
    read = {edge.src_vertex for edge in vertex.inputs}
    retired = {one.name: one for one in spec.vertices if one.retired and one.name in read}
    formers = {one.name: one for generation in generations for one in generation}
    commits = {name: await retire(client, spec, one) for name, one in {**formers, **retired}.items()}
    stream, ends = subjects.stream(spec.workspace, spec.name), dict[str, int]()
    for edge in vertex.inputs:
        if edge.src_vertex in retired:
            last = await last_message(client, stream, subjects.port(spec.workspace, spec.name, edge.src_vertex, edge.src_port))
            ends[edge.key] = last.sequence if last is not None and last.sequence >= edge.start else 0
    first = first_commit(vertex, generations, commits)
    if first is not None and first.floor is not None:
        prefix = subjects.vertex_prefix(spec.workspace, spec.name, vertex.name)
        if await last_message(client, stream, prefix) is None:
            await _check_rebuild(client, spec, vertex, [commits[name] for name in formers])
    passed = {edge.key: passed_of(generations, commits, edge.key) for edge in vertex.inputs} if generations else {}
    return Takeover(passed, vertex.memory != "none", first, ends, {name: commits[name].rewound for name in formers})


async def _check_rebuild(client: Client, spec: DeploymentSpec, vertex: VertexSpec, formers: list[Commit]) -> None:
    """What a redeploy has looked at as well; this finds what came in between."""
    if any(AGAIN_KEY in one.positions for one in formers):
        what = f"{vertex.name}: its state cannot be made anew: dead letters were given again"
        raise RunFailedError(what, code="partitions.given_again", hint="undeploy, then deploy anew")
    for edge in vertex.inputs:
        subject = subjects.port(spec.workspace, spec.name, edge.src_vertex, edge.src_port)
        if not await is_whole(client, subjects.stream(spec.workspace, spec.name), subject):
            what = f"{vertex.name}: its state cannot be made anew: the log no longer holds all of {edge.src_vertex}.{edge.src_port}"
            raise RunFailedError(what, code="log.trimmed", hint="undeploy, or deploy with a longer --keep-log")
