"""What has arrived at a vertex but is not processed: one queue per edge, and the order in which records leave them."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from typing import Any

import msgspec

from thalweg.errors import RunFailedError
from thalweg.sdk.adopt import Build
from thalweg.wire.batch import Batch, batch_decoder
from thalweg.wire.commit import END_OF_TIME
from thalweg.wire.partitions import indexes
from thalweg.wire.spec import Share

BEGINNING = -(2**63)
_raw = batch_decoder(msgspec.Raw)
ALL = 2**31  # records to skip of a void message, which nobody has counted


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the deployment log, whole (the pieces of a cut one joined); its writer has written anew what is `void`."""

    edge: str
    first: int
    last: int
    body: bytes
    watermark: int
    ended: bool
    void: bool = False


class Arrived:
    """A message at the head of an edge, decoded, and how many of its records are processed.

    Args:
        message, batch: as it came.
        skip: records of it that are processed already.
        share: which of its records are for this vertex; None for all.
    """

    __slots__ = ("batch", "count", "ids", "index", "message", "places", "progress", "roots")

    def __init__(self, message: Message, batch: Batch[Any], skip: int, share: Share | None = None) -> None:
        self.message, self.count = message, len(batch.v)
        self.places: list[int] | None = None  # of the records of a share in the message
        if share is not None:
            self.places = indexes(share, batch.v, batch.ids())
            batch, skip = batch.part(self.places), bisect_left(self.places, skip)
        self.batch, self.index = batch, skip
        self.progress, self.ids = batch.progress(), batch.ids()
        self.roots = self.ids if batch.r is None else batch.r

    @property
    def reached(self) -> int:
        """How many records of the message are processed, or are others'."""
        if self.places is None or not self.index:
            return self.index
        return self.places[self.index - 1] + 1

    @property
    def left(self) -> int:
        """Records not processed yet."""
        return len(self.batch.v) - self.index


class Edge:
    """One input edge of a vertex. Only its first message is decoded: more would be cold again before their turn.

    Args:
        key: name in positions.
        port: input port of the vertex.
        order: rank among the vertex's edges; ties in time go to the lower one.
        value_type: what msgspec decodes its values into.
        build: makes of a decoded value what the component is given; it may raise, as the component may.
        share: which records are for this vertex; None for all.
    """

    def __init__(self, key: str, port: str, order: int, value_type: Any, build: Build | None = None, share: Share | None = None) -> None:
        self._share = share
        self.key, self.port, self.order, self.value_type, self.build = key, port, order, value_type, build
        self.position = (1, 0)  # where reading begins: (sequence, records to skip)
        self.head: Arrived | None = None
        self.waiting: deque[Message] = deque()
        self.waiting_bytes = 0
        self.watermark, self.ended = BEGINNING, False
        self.taken_messages = 0
        self._passed = 0
        self._last: int | None = None
        self._decoder: msgspec.msgpack.Decoder[Batch[Any]] = batch_decoder(value_type)

    @property
    def first(self) -> Arrived:
        """The first message; only while `head` is not None."""
        assert self.head is not None
        return self.head

    @property
    def next_sequence(self) -> int:
        """First sequence that has not arrived here, nor is before the position."""
        if self.waiting:
            return self.waiting[-1].last + 1
        return self.head.message.last + 1 if self.head else max(self._passed + 1, self.position[0])

    def offer(self, message: Message) -> None:
        """Takes a message in. One that lies before what is expected is passed over, so offering twice is harmless.

        Raises:
            RunFailedError: `log.undecodable`, when its values are not of the edge's type.
        """
        if message.last < self.next_sequence or (self._last is not None and message.last > self._last):
            return
        self.waiting.append(message)
        self.waiting_bytes += len(message.body)
        self.settle()

    def end_after(self, sequence: int) -> None:
        """Says that the message of this sequence, or one before it, is the last, for an edge that does not end by itself."""
        self._last = sequence
        self.waiting = deque(message for message in self.waiting if message.last <= sequence)
        self.settle()

    def end_here(self) -> None:
        """Says that nothing more is to be worked on, for an edge that does not end by itself; what has arrived is left aside."""
        self._last = self.position[0] if self.position[1] else self.position[0] - 1
        self.waiting.clear()
        self.head, self.waiting_bytes, self.ended, self.watermark = None, 0, True, END_OF_TIME

    def take(self, count: int) -> None:
        """Marks the next records of the first message as processed."""
        head = self.first
        head.index += count
        self.position = (head.message.first, head.reached)
        self.settle()

    def settle(self) -> None:
        """Drops messages that are processed whole, taking over their watermark and end mark; decodes the first that is not.

        The position stays at the last message until the next one: read again after a restart, it tells its marks again.
        """
        while True:
            if self.head is None and self.waiting:
                message = self.waiting.popleft()
                if message.void:
                    self._pass_over(message)
                    continue
                self.head = self._decode(message)
            if self.head is None:
                self._end_if_past()
            if self.head is None or self.head.left:
                return
            message, count, self.head = self.head.message, self.head.count, None
            self.waiting_bytes -= len(message.body)
            self.taken_messages += message.last - message.first + 1
            self.position, self._passed = (message.first, count), message.last
            self.watermark = max(self.watermark, message.watermark)
            if message.ended:
                self.ended, self.watermark = True, END_OF_TIME

    def _pass_over(self, message: Message) -> None:
        """The position goes on, so that the log can be trimmed; the message's marks are as void as its records."""
        self.waiting_bytes -= len(message.body)
        self.taken_messages += message.last - message.first + 1
        self.position, self._passed = (message.first, ALL), message.last

    def _end_if_past(self) -> None:
        if self._last is not None and self.next_sequence > self._last:
            self.ended, self.watermark = True, END_OF_TIME

    def built(self, value: Any) -> Any:
        """What the component is given for a decoded value: made anew for each call, so that a fault is one of that record alone."""
        return value if self.build is None else self.build(value)

    def _decode(self, message: Message) -> Arrived:
        first, skip = self.position
        skip = skip if message.first == first else 0
        try:
            batch = self._decoder.decode(message.body)
        except msgspec.DecodeError as error:
            if skip and (read := _raw.decode(message.body)) and len(read.v) <= skip:
                return Arrived(message, read, skip)  # read already, by what the vertex was before a redeploy; only its marks count
            raise RunFailedError(
                f"message {message.first} of {self.key} is not of the edge's type: {error}", code="log.undecodable"
            ) from error
        return Arrived(message, batch, skip, self._share)

    @property
    def progress(self) -> int:
        """No record that is still to come out of this edge has a lower progress time."""
        return self.head.progress[self.head.index] if self.head else self.watermark


def choose_by_time(edges: list[Edge]) -> Edge | None:
    """The edge whose next record is the earliest, or None while an edge that could bring an earlier one is silent.

    Order: progress time, then the edge's rank, then order in the edge; it does not depend on when messages arrived.
    """
    best: Edge | None = None
    for edge in edges:
        if edge.head and (best is None or edge.progress < best.progress):
            best = edge
    if best is None:
        return None
    for edge in edges:
        if not edge.head and not edge.ended and (edge.watermark, edge.order) <= (best.progress, best.order):
            return None
    return best


def choose_by_arrival(edges: list[Edge]) -> Edge | None:
    """The edge whose next message is the oldest on the log."""
    heads = [(edge.head.message.first, edge.order, edge) for edge in edges if edge.head]
    return min(heads, key=lambda one: one[:2])[2] if heads else None


def run_length(edge: Edge, edges: list[Edge]) -> int:
    """How many records may be taken from `edge` in one go before the order has to be decided again."""
    return edge.head.left if edge.head and len(edges) == 1 else 1
