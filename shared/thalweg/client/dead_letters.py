"""Dead letters of a vertex as people read and edit them: those that are open, and their records as JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec

from thalweg.bus.connection import Client
from thalweg.bus.dead_letters import read_letters, read_standing
from thalweg.client.runs import read_commits
from thalweg.errors import RejectedError
from thalweg.graph.parse import parse_type
from thalweg.graph.partitions import partition_of
from thalweg.replay.showing import plain
from thalweg.sdk.records import python_type
from thalweg.wire.dead_letters import Letter, is_settled
from thalweg.wire.spec import DeploymentSpec, VertexSpec


@dataclass(frozen=True, slots=True)
class OpenLetter:
    """A dead letter about which nothing was done.

    Attributes:
        sequence, index: of its message on the log, and its place in that.
        time_ns: when it was stored, UTC.
    """

    vertex: str
    sequence: int
    index: int
    time_ns: int
    letter: Letter

    @property
    def place(self) -> str:
        """What it is called: `sequence:index`."""
        return f"{self.sequence}:{self.index}"


def vertex_named(spec: DeploymentSpec, name: str) -> VertexSpec:
    """A vertex of a deployment.

    Raises:
        RejectedError: `vertex.unknown`.
    """
    found = next((one for one in spec.vertices if one.name == name), None)
    if found is None:
        hint = f"it has {', '.join(one.name for one in spec.vertices)}"
        raise RejectedError(f"deployment {spec.name} has no vertex {name}", code="vertex.unknown", hint=hint)
    return found


def vertices_named(spec: DeploymentSpec, name: str) -> list[VertexSpec]:
    """A vertex of a deployment, or all partitions of one.

    Raises:
        RejectedError: `vertex.unknown`.
    """
    return [one for one in spec.vertices if partition_of(one.name)[0] == name] or [vertex_named(spec, name)]


async def open_letters(client: Client, spec: DeploymentSpec, vertices: list[VertexSpec]) -> AsyncIterator[OpenLetter]:
    """Those of some vertices, oldest first.

    Raises:
        RunFailedError: `log.gone`.
        UnreachableError, nats.errors.Error, TimeoutError: the server is away.
    """
    commits = await read_commits(client, spec)
    for vertex in vertices:
        commit = commits.get(vertex.name)
        if commit is None or not commit.counters.dead:
            continue
        settled = (await read_standing(client, spec, vertex, commit)).settled
        async for found in read_letters(client, spec, vertex.name):
            for index, letter in enumerate(found.letters):
                if not is_settled(settled, found.sequence, index):
                    yield OpenLetter(vertex.name, found.sequence, index, found.time_ns, letter)


def value_as_json(vertex: VertexSpec, letter: Letter) -> Any:
    """Its record as JSON values: of the port's type, so that `value_from_json` gives it back; else as far as it can be read."""
    kind = _type_of(vertex, letter.port)
    if letter.whole and kind is not None:
        try:
            return msgspec.json.decode(msgspec.json.encode(msgspec.msgpack.decode(letter.value, type=kind)))
        except (msgspec.DecodeError, TypeError, ValueError):
            pass  # the vertex may have been redeployed with another type
    try:
        return plain(msgspec.msgpack.decode(letter.value))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return plain(letter.value)


def value_from_json(vertex: VertexSpec, port: str, value: Any) -> bytes:
    """Msgpack of a record that is given as JSON values.

    Raises:
        RejectedError: `dead_letters.value`, it is not of the port's type.
    """
    kind = _type_of(vertex, port)
    if kind is None:
        raise RejectedError(f"{vertex.name}: nothing comes by port {port} any more", code="dead_letters.value")
    try:
        return msgspec.msgpack.encode(msgspec.json.decode(msgspec.json.encode(value), type=kind))
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise RejectedError(f"the value is not what {vertex.name}.{port} accepts: {error}", code="dead_letters.value") from None


def _type_of(vertex: VertexSpec, port: str) -> Any:
    edge = next((one for one in vertex.inputs if one.dst_port == port), None)
    return python_type(parse_type(edge.type)) if edge is not None else None
