"""Reads edges of a deployment log from a sequence on: the messages of vertices, whole, and what comes from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from nats.aio.client import Client

from thalweg.bus.puller import Puller
from thalweg.runtime.inputs import BEGINNING, Message
from thalweg.wire.boundary import inlet_body
from thalweg.wire.commit import CHUNK_HEADER, HEADER, decode_commit
from thalweg.wire.dead_letters import AGAIN_KEY
from thalweg.wire.rewind import Void, is_void
from thalweg.wire.spec import INLET_KEY


class _Messages(Puller[Message]):
    def pop(self) -> Message:
        """The oldest arrived message."""
        message = self.arrived.popleft()
        self._taken(len(message.body))
        return message


class Reader(_Messages):
    """Delivers messages of vertices in log order, each once, from `start` on.

    Args:
        client: NATS connection.
        stream: the deployment log.
        edges: edge keys by subject.
        start: first sequence to deliver.
        notify: called when a message has arrived.
        voids: by edge key, what is delivered as void, without its body.
    """

    def __init__(
        self,
        client: Client,
        stream: str,
        edges: dict[str, list[str]],
        start: int,
        notify: Callable[[], None],
        voids: Mapping[str, Sequence[Void]] = MappingProxyType({}),
    ) -> None:
        super().__init__(client, stream, list(edges), start, notify)
        self._edges, self._voids = edges, voids
        self._pieces: list[tuple[int, bytes]] = []

    def _reset(self) -> None:
        self._pieces = []

    def _join(self, subject: str, sequence: int, headers: dict[str, str], data: bytes) -> None:
        """Joins the pieces of a cut message, which follow each other on one subject."""
        chunk, first = headers.get(CHUNK_HEADER), sequence
        if chunk is not None:
            index, _, count = chunk.partition("/")
            if index == "1":
                self._pieces = []
            elif not self._pieces:
                return  # reading began in the middle of it
            self._pieces.append((sequence, data))
            if index != count:
                return
            first, data = self._pieces[0][0], b"".join(piece for _, piece in self._pieces)
            self._pieces = []
        self._next = sequence + 1
        commit = decode_commit(headers[HEADER])
        for edge in self._edges[subject]:
            void = is_void(self._voids.get(edge, ()), commit)
            message = Message(edge, first, sequence, b"" if void else data, commit.promised, commit.ended, void)
            self._keep(message, len(message.body))


class InletReader(_Messages):
    """Delivers what comes from outside: each bare value as a batch of one, whose value is the bytes that came.

    Args:
        client: NATS connection.
        stream: the deployment log.
        subject: of the input endpoint.
        vertex: whose endpoint it is; ids are made of it.
        start: first sequence to deliver.
        notify: called when a message has arrived.
    """

    def __init__(self, client: Client, stream: str, subject: str, vertex: str, start: int, notify: Callable[[], None]) -> None:
        super().__init__(client, stream, [subject], start, notify)
        self._vertex = vertex

    def _join(self, subject: str, sequence: int, headers: dict[str, str], data: bytes) -> None:
        self._next = sequence + 1
        body = inlet_body(self._vertex, sequence, self._stored_ns, data)
        self._keep(Message(INLET_KEY, sequence, sequence, body, self._stored_ns, False), len(body))


class AgainReader(_Messages):
    """Delivers dead letters that are given again: batches as they are."""

    def _join(self, subject: str, sequence: int, headers: dict[str, str], data: bytes) -> None:
        self._next = sequence + 1
        self._keep(Message(AGAIN_KEY, sequence, sequence, data, BEGINNING, False), len(data))
