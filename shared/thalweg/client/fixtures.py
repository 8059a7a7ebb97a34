"""Takes the next records of the sources of a live deployment into a fixture."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing, suppress

from thalweg.bus.connection import Client
from thalweg.bus.deployments import log_state
from thalweg.client.tap import tap, type_of
from thalweg.errors import RejectedError
from thalweg.graph.types import StreamType
from thalweg.replay.fixture import encode_head, encode_record
from thalweg.wire.spec import DeploymentSpec

Port = tuple[str, str]
Write = Callable[[bytes], object]


def source_ports(spec: DeploymentSpec) -> dict[Port, StreamType]:
    """The ports at which records come into a graph: of its sources and input endpoints.

    Raises:
        RejectedError: `fixture.no_source`, there are none.
    """
    found = {(one.name, port): type_of(spec, one.name, port) for one in spec.vertices if not one.inputs for port in one.outputs}
    if not found:
        raise RejectedError(f"{spec.name} has no source", code="fixture.no_source")
    return found


async def take_fixture(client: Client, spec: DeploymentSpec, count: int, timeout_s: float, write: Write) -> dict[Port, int]:
    """Writes a fixture line by line, in the order in which records come.

    Args:
        client: NATS connection.
        spec: the deployment.
        count: records of each port.
        timeout_s: how long is waited for all of them.
        write: takes the lines.

    Returns:
        How many there are of each port: fewer where its source has come to its end, or the time was over.

    Raises:
        RejectedError: `deployment.unknown`, it has no log; `fixture.unwritable`, JSON does not hold a value as it is.
    """
    ports, counts = source_ports(spec), Counter[Port]()
    state = await log_state(client, spec.workspace, spec.name)
    if state is None:
        raise RejectedError(f"deployment {spec.name} has no log", code="deployment.unknown")
    write(encode_head(spec.backend, spec.name, ports))

    async def take(port: Port, kind: StreamType) -> None:
        async with aclosing(tap(client, spec, *port, start=state[1] + 1)) as coming:
            async for seen in coming:
                write(encode_record(*port, seen.time_ns, seen.value, kind))
                counts[port] += 1
                if counts[port] == count:
                    return

    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            try:
                async with asyncio.TaskGroup() as group:
                    for port, kind in ports.items():
                        group.create_task(take(port, kind))
            except* RejectedError as errors:
                raise next(one for one in errors.exceptions if isinstance(one, RejectedError)) from None
    return {port: counts[port] for port in ports}
