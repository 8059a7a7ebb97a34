"""Reads what is on its way to output endpoints, so that an answer need not wait until it has left the graph."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection

from thalweg.bus.connection import Client
from thalweg.bus.follower import Delivered
from thalweg.bus.heads import get_message
from thalweg.wire import subjects
from thalweg.wire.boundary import RECORDS_HEADER, ROOT_HEADER, release
from thalweg.wire.commit import CHUNK_HEADER
from thalweg.wire.spec import DeploymentSpec, VertexSpec
from thalweg.wire.subjects import parse_port

MAX_MESSAGES, MAX_BYTES = 512, 16 << 20
_Records = list[tuple[int, bytes]]  # root and bare value


class Feed:
    """The newest messages of the ports that lead straight to an output endpoint.

    `http-out` passes records on as they are, so what it is going to show is known, and stored, one commit before it does.

    Args:
        client: NATS connection.
        spec: the deployment.
    """

    def __init__(self, client: Client, spec: DeploymentSpec) -> None:
        self._client, self._stream = client, subjects.stream(spec.workspace, spec.name)
        self._kept: OrderedDict[int, tuple[str, asyncio.Task[_Records | None]]] = OrderedDict()  # by sequence: port and records
        self._size_bytes = 0
        self._missed: dict[str, int] = {}  # by port, the last sequence that is not kept
        self.take_spec(spec)

    def take_spec(self, spec: DeploymentSpec) -> None:
        """The deployment as it is now."""
        passing = [one for one in spec.vertices if _passes(one, spec)]
        self._ports = {one.name: {f"{edge.src_vertex}.{edge.src_port}" for edge in one.inputs} for one in passing}
        self._known = {port for ports in self._ports.values() for port in ports}

    def covers(self, outlet: str) -> bool:
        """Whether what an output endpoint is going to show can be told before it does."""
        return outlet in self._ports

    def take(self, message: Delivered, *, is_wanted: bool) -> None:
        """Takes in a message, in the order of the log; fetches its records where somebody may ask for them."""
        place = parse_port(message.subject)
        port = f"{place[0]}.{place[1]}" if place is not None else ""
        if port not in self._known or message.headers.get(RECORDS_HEADER, "0") == "0":
            return
        if not is_wanted or CHUNK_HEADER in message.headers:
            self._missed[port] = message.sequence
            return
        self._kept[message.sequence] = port, asyncio.create_task(self._fetch(message.sequence))
        while len(self._kept) > MAX_MESSAGES or (self._size_bytes > MAX_BYTES and len(self._kept) > 1):
            self._forget_oldest()

    async def records(self, outlet: str, roots: Collection[int], after: int) -> list[bytes] | None:
        """The values that come from some records from outside, in the order of the log; None where that cannot be told.

        Args:
            outlet: the output endpoint's vertex.
            roots: ids of those records.
            after: sequence of the first of them.
        """
        ports = self._ports.get(outlet)
        if ports is None or any(self._missed.get(port, 0) > after for port in ports):
            return None
        found: list[bytes] = []
        for task in [task for sequence, (port, task) in self._kept.items() if sequence > after and port in ports]:
            records = await asyncio.shield(task)
            if records is None:
                return None
            found += [value for root, value in records if root in roots]
        return found

    def close(self) -> None:
        """Fetches no more."""
        for _, task in self._kept.values():
            task.cancel()

    async def _fetch(self, sequence: int) -> _Records | None:
        stored = await get_message(self._client, self._stream, {"seq": sequence})
        if stored is None:
            return None  # trimmed already
        released, _ = release(stored.data, 0)
        self._size_bytes += sum(len(one.value) for one in released)
        return [(int(one.headers[ROOT_HEADER], 16), one.value) for one in released]

    def _forget_oldest(self) -> None:
        sequence, (port, task) = self._kept.popitem(last=False)
        self._missed[port] = max(sequence, self._missed.get(port, 0))
        if task.done() and not task.cancelled() and task.exception() is None:
            self._size_bytes -= sum(len(value) for _, value in task.result() or [])


def _passes(vertex: VertexSpec, spec: DeploymentSpec) -> bool:
    """Whether an output endpoint shows just the bytes that are on the edges into it: none is to be turned into another type."""
    if vertex.endpoint != "out" or vertex.component.partition("@")[0] != "http-out":
        return False
    written = {(one.name, port): kind for one in spec.vertices for port, kind in one.outputs.items()}
    shown = vertex.outputs.get(vertex.endpoint)
    return all(written.get((edge.src_vertex, edge.src_port)) == shown and not edge.voids for edge in vertex.inputs)
