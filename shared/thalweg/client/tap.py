"""Shows the records on an edge, from the deployment log: decoded, filtered, sampled; the running graph does not notice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from thalweg.bus.connection import Client, NatsError
from thalweg.bus.heads import latest_commits
from thalweg.bus.reader import Reader
from thalweg.bus.watch import LogWatch
from thalweg.client.conditions import condition
from thalweg.errors import RejectedError, UnreachableError
from thalweg.graph.parse import parse_type
from thalweg.graph.types import StreamType
from thalweg.sdk.records import python_type
from thalweg.sdk.values import RecordError
from thalweg.wire import subjects
from thalweg.wire.batch import batch_decoder
from thalweg.wire.partitions import parts_of
from thalweg.wire.spec import DeploymentSpec

LOOK_S = 2.0  # without a record, until it is looked whether any will come
Keep = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Seen:
    """One record on an edge.

    Attributes:
        sequence, index: where it is: its message on the log, and its place in it.
        time_ns: event time, UTC.
        record_id: its trace id.
        value: decoded, as the port's type says.
    """

    sequence: int
    index: int
    time_ns: int
    record_id: int
    value: Any


def type_of(spec: DeploymentSpec, vertex: str, port: str) -> StreamType:
    """What a port emits.

    Raises:
        RejectedError: `vertex.unknown`, `port.unknown` or `port.endpoint`.
    """
    found = next((one for one in spec.vertices if one.name == vertex), None) or next(iter(parts_of(spec, vertex)), None)
    if found is None:
        there = ", ".join(one.name for one in spec.vertices)
        raise RejectedError(f"deployment {spec.name} has no vertex {vertex}", code="vertex.unknown", hint=f"there are {there}")
    if port not in found.outputs:
        there = ", ".join(found.outputs) or "none"
        raise RejectedError(f"{vertex} has no output port {port!r}", code="port.unknown", hint=f"its outputs: {there}")
    if found.endpoint == "out" and port == "out":
        hint = "the gateway shows its records: `thalweg endpoint list`"
        raise RejectedError(f"{vertex}.{port} is an output endpoint, and no edge", code="port.endpoint", hint=hint)
    return parse_type(found.outputs[port])


def where(expression: str, stream_type: StreamType) -> Keep:
    """A test by a CEL expression over the records of a type, as the component `filter` has it.

    Raises:
        RejectedError: the expression does not fit the type.
    """
    holds = condition(expression, stream_type)

    def keep(value: Any) -> bool:
        with suppress(RecordError):
            return holds(value)
        return False

    return keep


async def tap(
    client: Client, spec: DeploymentSpec, vertex: str, port: str, *, start: int | None, keep: Keep | None = None, sample: float = 1.0
) -> AsyncGenerator[Seen, None]:
    """Records of an output port, oldest first, until the vertex has ended or failed, or its deployment is gone.

    Args:
        client: NATS connection.
        spec: the deployment.
        vertex, port: which output; of a vertex with partitions, that of all of them.
        start: sequence on the log to begin at; what was trimmed is left out. None begins with what comes now.
        keep: shows only records for which it is true.
        sample: share of those to show, 0 to 1, chosen at random.

    Raises:
        RejectedError: there is no such port, no log, or nothing comes any more (`vertex.ended`).
    """
    stream_type = type_of(spec, vertex, port)
    watch = LogWatch(client, spec.workspace, spec.name)
    look = await watch.look()
    if look is None:
        raise RejectedError(f"deployment {spec.name} has no log", code="deployment.unknown")
    parts = [one.name for one in parts_of(spec, vertex)] or [vertex]
    if start is None and await _is_over(watch, parts):
        hint = "--from 0 shows what its log still has"
        raise RejectedError(f"{vertex} of {spec.name} has come to its end", code="vertex.ended", hint=hint)
    decoder, rng = batch_decoder(python_type(stream_type)), random.Random()
    arrived = asyncio.Event()
    edges = {subjects.port(spec.workspace, spec.name, part, port): [part] for part in parts}
    begin = look.last_sequence + 1 if start is None else max(start, 1)
    reader = Reader(client, subjects.stream(spec.workspace, spec.name), edges, begin, arrived.set)
    await reader.open()
    try:
        while True:
            while reader.arrived:
                message = reader.pop()
                reader.pull_soon()
                batch = decoder.decode(message.body)
                for index, (value, time_ns, record_id) in enumerate(zip(batch.v, batch.t, batch.ids(), strict=True)):
                    if (keep is None or keep(value)) and (sample >= 1 or rng.random() < sample):
                        yield Seen(message.first, index, time_ns, record_id, value)
                if message.ended and len(parts) == 1:
                    return
            arrived.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(arrived.wait(), LOOK_S)
                continue
            if await _is_over(watch, parts) and not reader.arrived:
                return
    finally:
        await reader.close()


async def _is_over(watch: LogWatch, parts: list[str]) -> bool:
    """Whether nothing will come any more; not while the server is away."""
    try:
        look = await watch.look()
    except (UnreachableError, NatsError, OSError, TimeoutError):
        return False
    if look is None:
        return True
    commits = latest_commits(look.heads)
    ended = {name for name, one in commits.items() if one.ended or one.retired}
    return any(one.failure is not None for one in commits.values()) or ended.issuperset(parts)
