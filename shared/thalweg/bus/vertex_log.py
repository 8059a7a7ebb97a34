"""A vertex's view of its deployment log on JetStream: implements `thalweg.runtime.log.Log`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
from nats.aio.client import Client

from thalweg.bus.heads import StoredMessage, get_message, last_message
from thalweg.bus.reader import AgainReader, InletReader, Reader
from thalweg.bus.writer import Writer, chunk_count
from thalweg.errors import RunFailedError
from thalweg.runtime.inputs import Message
from thalweg.runtime.log import Recovered
from thalweg.wire import subjects
from thalweg.wire.commit import Commit
from thalweg.wire.dead_letters import AGAIN_KEY
from thalweg.wire.rewind import Rewind
from thalweg.wire.spec import INLET_KEY, EdgeSpec, EndpointSide
from thalweg.wire.subjects import STATE_PORT


class _StateOnly(msgspec.Struct):
    s: bytes | None = None


class VertexLog:
    """Reads the edges of one vertex and writes its commits.

    Args:
        client: NATS connection.
        workspace, deployment, vertex: which vertex.
        edges: its input edges.
        in_arrival_order: read all edges over one consumer, in log order; else each edge on its own, so that one that is far
            ahead does not keep the others from being read.
        endpoint: which side of the vertex is open to the outside, as in `VertexSpec`.
        traced: as `DeploymentSpec.is_traced`.
    """

    def __init__(
        self,
        client: Client,
        workspace: str,
        deployment: str,
        vertex: str,
        edges: list[EdgeSpec],
        in_arrival_order: bool,
        *,
        endpoint: EndpointSide = "",
        traced: bool = False,
    ) -> None:
        self._client, self._place, self._edges, self._one = client, (workspace, deployment, vertex), edges, in_arrival_order
        self._stream = subjects.stream(workspace, deployment)
        self._has_inlet = endpoint == "in"
        outlet = subjects.OUT_ENDPOINT if endpoint == "out" else None
        self.writer = Writer(client, workspace, deployment, vertex, outlet=outlet, traced=traced)
        self.readers: list[Reader | InletReader | AgainReader] = []
        self.arrived = asyncio.Event()
        self._allowed: Callable[[str], bool] = lambda edge: True

    async def recover(self) -> Recovered:
        """The vertex's last commit, with the state that belongs to it."""
        last = await last_message(self._client, self._stream, subjects.vertex_prefix(*self._place))
        if last is None or last.commit is None:
            return Recovered(None, None)
        self.writer.last_sequence = last.sequence
        if last.commit.floor is not None:
            return Recovered(last.commit, await self._snapshot())
        return Recovered(last.commit, await self._inline(last))

    async def checkpoint(self, rewind: Rewind) -> Recovered:
        """See `Log.checkpoint`."""
        for sequence in rewind.needed:
            await self._must_get(sequence)
        if not rewind.commit:
            return Recovered(None, None)
        then = await self._must_get(rewind.commit)
        if rewind.snapshot:
            return Recovered(then.commit, await self._whole(await self._must_get(rewind.snapshot)))
        return Recovered(then.commit, await self._inline(then))

    async def write(self, parts: list[tuple[str, bytes]], commit: Commit) -> None:
        """See `Log.write`."""
        await self.writer.write(parts, commit)

    async def open(self, positions: dict[str, tuple[int, int]], allowed: Callable[[str], bool] | None = None) -> None:
        """See `Log.open`. `allowed` says whether an edge's next message may be taken now."""
        self._allowed = allowed or self._allowed
        by_subject: dict[str, list[str]] = {}
        for edge in self._edges:
            by_subject.setdefault(subjects.port(*self._place[:2], edge.src_vertex, edge.src_port), []).append(edge.key)
        groups = [by_subject] if self._one and by_subject else [{subject: [key]} for subject, keys in by_subject.items() for key in keys]
        begins = {edge.key: edge.start for edge in self._edges}
        voids = {edge.key: edge.voids for edge in self._edges if edge.voids}
        for group in groups:
            start = min(max(positions[key][0], begins[key]) for keys in group.values() for key in keys)
            self.readers.append(Reader(self._client, self._stream, group, start, self.arrived.set, voids))
        if self._has_inlet:
            subject, start = subjects.inlet(*self._place), positions[INLET_KEY][0]
            self.readers.append(InletReader(self._client, self._stream, subject, self._place[2], start, self.arrived.set))
        if AGAIN_KEY in positions:
            start = positions[AGAIN_KEY][0]
            self.readers.append(AgainReader(self._client, self._stream, [subjects.again(*self._place)], start, self.arrived.set))
        await asyncio.gather(*(reader.open() for reader in self.readers))

    async def last_from_outside(self) -> int:
        """See `Log.last_from_outside`."""
        last = await last_message(self._client, self._stream, subjects.inlet(*self._place))
        return last.sequence if last is not None else 0

    async def next(self) -> Message:
        """The next message of any edge; waits for one."""
        while (message := self.ready()) is None:
            self.arrived.clear()
            await self.arrived.wait()
        return message

    def ready(self) -> Message | None:
        """See `Log.ready`."""
        for reader in self.readers:
            if reader.arrived and self._allowed(reader.arrived[0].edge):
                message = reader.pop()
                reader.pull_soon()
                return message
        return None

    async def close(self) -> None:
        """See `Log.close`."""
        await asyncio.gather(*(reader.close() for reader in self.readers))

    async def _must_get(self, sequence: int) -> StoredMessage:
        found = await get_message(self._client, self._stream, {"seq": sequence})
        if found is None:
            what = f"{self._place[2]}: cannot go back: message #{sequence} was trimmed meanwhile"
            raise RunFailedError(what, code="log.trimmed", hint="undeploy, or deploy with a longer --keep-log")
        return found

    async def _inline(self, last: StoredMessage) -> bytes | None:
        return msgspec.msgpack.decode(await self._whole(last), type=_StateOnly).s

    async def _snapshot(self) -> bytes | None:
        last = await last_message(self._client, self._stream, subjects.port(*self._place, STATE_PORT))
        return await self._whole(last) if last is not None else None

    async def _whole(self, last: StoredMessage) -> bytes:
        """Joins a body whose last piece is `last`: pieces are neighbours in the log, since their batch was atomic."""
        count = chunk_count(last)
        pieces = [
            await get_message(self._client, self._stream, {"seq": sequence}) for sequence in range(last.sequence - count + 1, last.sequence)
        ]
        return b"".join([piece.data for piece in pieces if piece is not None] + [last.data])
