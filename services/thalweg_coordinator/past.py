"""Reads from a deployment log what going back to an earlier position of it depends on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from thalweg.api.deployments import Start
from thalweg.bus.connection import Client
from thalweg.bus.deployments import log_state
from thalweg.bus.history import first_at, first_commit, first_whole, heads_before, is_first, is_whole
from thalweg.errors import RejectedError
from thalweg.wire import subjects
from thalweg.wire.spec import DeploymentSpec
from thalweg.wire.subjects import STATE_PORT, parse_port
from thalweg_coordinator.reprocessing import Facts, Held, Past


async def read_facts(client: Client, spec: DeploymentSpec, start: Start, vertices: Sequence[str]) -> Facts:
    """What `plan_rewinds` decides from, for some vertices of a spec.

    Raises:
        RejectedError: `redeploy.position`, the log has nothing there.
        UnreachableError: `nats.unreachable`.
    """
    position = await _position(client, spec, start)
    stream, place = subjects.stream(spec.workspace, spec.name), (spec.workspace, spec.name)
    read = {subjects.port(*place, edge.src_vertex, edge.src_port) for one in spec.vertices if one.name in vertices for edge in one.inputs}
    read |= {subjects.inlet(*place, one.name) for one in spec.vertices if one.name in vertices and one.endpoint == "in"}
    past = await asyncio.gather(*(_past(client, spec, one, position) for one in vertices))
    held = await asyncio.gather(*(_held(client, stream, one, position) for one in sorted(read)))
    return Facts(
        position,
        by_time=start.time_ns is not None,
        past=dict(zip(vertices, past, strict=True)),
        held=dict(zip(sorted(read), held, strict=True)),
    )


async def read_cut(client: Client, spec: DeploymentSpec, ports: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Of some (vertex, port), those whose first records are gone from the log.

    Raises:
        RunFailedError: `log.gone`.
    """
    stream = subjects.stream(spec.workspace, spec.name)
    whole = await asyncio.gather(*(is_whole(client, stream, subjects.port(spec.workspace, spec.name, *one)) for one in ports))
    return {port for port, is_there in zip(ports, whole, strict=True) if not is_there}


async def _position(client: Client, spec: DeploymentSpec, start: Start) -> int:
    state = await log_state(client, spec.workspace, spec.name)
    last = state[1] if state is not None else 0
    found = start.position if start.time_ns is None else await first_at(client, spec.workspace, spec.name, start.time_ns)
    if found is None or found > last:
        raise RejectedError(f"the log of {spec.name} has nothing there: it ends at #{last}", code="redeploy.position", last=last)
    return found


async def _past(client: Client, spec: DeploymentSpec, vertex: str, position: int) -> Past:
    stream, prefix = subjects.stream(spec.workspace, spec.name), subjects.vertex_prefix(spec.workspace, spec.name, vertex)
    heads = await heads_before(client, spec.workspace, spec.name, vertex, position)
    first = await first_commit(client, stream, prefix)
    begun = (first.sequence, is_first(first.commit)) if first is not None and first.commit is not None else (0, True)
    committed = [(one.commit.number, one.sequence, one.commit) for one in heads if one.commit is not None]
    if not committed:
        return Past(None, 0, 0, *begun)
    number, sequence, then = max(committed, key=lambda one: one[:2])
    # The position may lie within the messages of one commit, which were stored as one.
    while (other := await first_commit(client, stream, prefix, sequence + 1)) and other.commit and other.commit.number == number:
        sequence = other.sequence
    snapshots = [one.sequence for one in heads if (place := parse_port(one.subject)) is not None and place[1] == STATE_PORT]
    return Past(then, sequence, max(snapshots, default=0) if then.floor is not None else 0, *begun)


async def _held(client: Client, stream: str, subject: str, position: int) -> Held:
    first, later = await asyncio.gather(first_whole(client, stream, subject), first_whole(client, stream, subject, position))
    if first is None:
        return Held()
    is_whole = first.commit is not None and is_first(first.commit)  # of what comes from outside, nobody knows
    return Held(first.sequence, is_whole, later.sequence if later is not None else 0)
