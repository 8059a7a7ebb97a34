"""Reads the few records of a log that a diagnosis shows: the last one that was rejected, the next one that fails, the last dead one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypedDict

import msgspec

from thalweg.bus.bodies import bodies
from thalweg.bus.connection import Client
from thalweg.bus.heads import last_message
from thalweg.client.diagnosis.facts import Sample
from thalweg.client.diagnosis.showing import MAX_TEXT, bounded
from thalweg.wire import subjects
from thalweg.wire.batch import batch_decoder
from thalweg.wire.commit import Commit
from thalweg.wire.spec import DeploymentSpec, EdgeSpec, VertexSpec, is_failed

MAX_VERTICES = 20
MAX_MESSAGES = 20  # that are looked through for one that has records
_decode = batch_decoder(Any).decode


class Samples(TypedDict):
    """By vertex, as in `Facts`."""

    rejected: Mapping[str, Sample]
    failing: Mapping[str, Sample]
    dead: Mapping[str, Sample]


async def read_samples(client: Client, spec: DeploymentSpec, commits: Mapping[str, Commit]) -> Samples:
    """Of at most twenty vertices each."""
    known = [(one, commits[one.name]) for one in spec.vertices if one.name in commits]
    dead = [one for one, commit in known if commit.counters.dead][:MAX_VERTICES]
    failed = [(one, commit) for one, commit in known if is_failed(one, commit) and len(one.inputs) == 1][:MAX_VERTICES]
    dry = [(one, commit) for one, commit in known if _is_dry(one, commit) and not is_failed(one, commit)][:MAX_VERTICES]
    return Samples(
        rejected={one.name: found for one, commit in dry if (found := await _last_taken(client, spec, one, commit)) is not None},
        failing={one.name: found for one, commit in failed if (found := await _next(client, spec, one.inputs[0], commit)) is not None},
        dead={one.name: found for one in dead if (found := await _last_dead(client, spec, one.name)) is not None},
    )


def _is_dry(vertex: VertexSpec, commit: Commit) -> bool:
    return bool(vertex.inputs and vertex.outputs) and commit.counters.records_in > 0 and commit.counters.records_out == 0


async def _last_taken(client: Client, spec: DeploymentSpec, vertex: VertexSpec, commit: Commit) -> Sample | None:
    """The record before the vertex's position, on the first edge where the log still has it."""
    for edge in vertex.inputs:
        sequence, skip = commit.positions.get(edge.key, (0, 0))
        if skip and (found := await _record(client, spec, edge, sequence, skip - 1, exact=True)) is not None:
            return found
    return None


async def _next(client: Client, spec: DeploymentSpec, edge: EdgeSpec, commit: Commit) -> Sample | None:
    """The record at the vertex's position."""
    return await _record(client, spec, edge, *commit.positions.get(edge.key, (1, 0)))


async def _record(client: Client, spec: DeploymentSpec, edge: EdgeSpec, sequence: int, index: int, *, exact: bool = False) -> Sample | None:
    """A record of the message at a sequence; unless it must be exactly that one, behind its end the first of those that follow."""
    stream, subject = subjects.stream(spec.workspace, spec.name), subjects.port(spec.workspace, spec.name, edge.src_vertex, edge.src_port)
    seen = 0
    async for body in bodies(client, stream, subject, sequence):
        at = index if body.first == sequence else 0
        if body.data is None or (exact and body.first != sequence):
            return None
        with suppress(msgspec.DecodeError):
            batch = _decode(body.data)
            if at < len(batch.v):
                return Sample(edge.key, body.first, at, batch.t[at], bounded(batch.v[at]))
        seen += 1
        if seen == MAX_MESSAGES:
            break
    return None


async def _last_dead(client: Client, spec: DeploymentSpec, vertex: str) -> Sample | None:
    stream = subjects.stream(spec.workspace, spec.name)
    found = await last_message(client, stream, subjects.port(spec.workspace, spec.name, vertex, subjects.DEAD_PORT))
    if found is None:
        return None
    try:
        letters = msgspec.msgpack.decode(found.data)
        last = letters[-1]
        error, where = str(last["error"])[: 2 * MAX_TEXT], str(last["where"])[:MAX_TEXT]
        return Sample("", found.sequence, len(letters) - 1, None, _letter(last["value"]), error, where)
    except (msgspec.DecodeError, LookupError, TypeError):  # a letter in many pieces: its count is told all the same
        return None


def _letter(packed: Any) -> Any:
    """The record of a dead letter, which is cut where it is long; of one from a file or from outside, what was read."""
    value = _unpacked(packed) if isinstance(packed, bytes) else packed
    if not isinstance(value, bytes):
        return bounded(value)
    try:
        return bounded(value.decode())
    except UnicodeDecodeError:
        return bounded(_unpacked(value))


def _unpacked(body: bytes) -> Any:
    try:
        return msgspec.msgpack.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return body
