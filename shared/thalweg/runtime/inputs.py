"""What has arrived at a vertex but is not processed: one queue per edge, and the order in which records leave them."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import msgspec

from thalweg.errors import RunFailedError
from thalweg.sdk.adopt import Build
from thalweg.sdk.values import Place
from thalweg.wire.batch import Batch, batch_decoder
from thalweg.wire.commit import END_OF_TIME
from thalweg.wire.partitions import indexes
from thalweg.wire.spec import Share
from thalweg.wire.takeover import Passed

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
        left_out: indexes of records that are not for this vertex, whatever its share is.
        muted: indexes of records of which nothing is to come.
    """

    __slots__ = ("batch", "count", "ids", "index", "message", "muted", "owners", "places", "progress", "roots")

    def __init__(
        self,
        message: Message,
        batch: Batch[Any],
        skip: int,
        share: Share | None = None,
        left_out: Collection[int] = (),
        muted: Collection[int] = (),
    ) -> None:
        self.message, self.count = message, len(batch.v)
        self.places: list[int] | None = None  # in the message, of the records that are for this vertex
        if share is not None or left_out:
            shared = indexes(share, batch.v, batch.ids()) if share is not None else range(len(batch.v))
            self.places = [index for index in shared if index not in left_out] if left_out else list(shared)
            batch, skip = batch.part(self.places), bisect_left(self.places, skip)
        own = range(self.count) if self.places is None else self.places
        self.muted = [index in muted for index in own] if muted else None
        self.batch, self.index = batch, skip
        self.owners: list[tuple[str, ...]] | None = None  # of each record of the message, once they were asked for
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

    def left_before(self, skip: int) -> int:
        """Records not processed yet that are among the first `skip` of the message."""
        end = skip if self.places is None else bisect_left(self.places, skip)
        return max(0, min(end, len(self.batch.v)) - self.index)

    @property
    def is_muted(self) -> bool:
        """Whether nothing is to come of the next record."""
        return self.muted is not None and self.muted[self.index]

    def alike(self, count: int) -> int:
        """How many of the next `count` records, one at least, are muted, or not, as the next one is."""
        if self.muted is None:
            return count
        first, end = self.muted[self.index], self.index + 1
        while end < self.index + count and self.muted[end] == first:
            end += 1
        return end - self.index


class Edge:
    """One input edge of a vertex. Only its first message is decoded: more would be cold again before their turn.

    Args:
        key: name in positions.
        port: input port of the vertex.
        order: rank among the vertex's edges; ties in time go to the lower one.
        value_type: what msgspec decodes its values into.
        build: makes of a decoded value what the component is given; it may raise, as the component may.
        share: which records are for this vertex; None for all.
        rank: what ids of records are told apart by: that of its source among all sources, whose partitions have one together; default: the
            order.
    """

    def __init__(
        self,
        key: str,
        port: str,
        order: int,
        value_type: Any,
        build: Build | None = None,
        share: Share | None = None,
        rank: int | None = None,
    ) -> None:
        self._share, self.rank = share, order if rank is None else rank
        self._former: Passed | None = None
        self._mutes = False
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

    def take_over(self, passed: Passed, *, mutes: bool) -> None:
        """Says what others have worked on before: it is left out, or goes into the state with nothing coming of it. Before any message."""
        self._former, self._mutes = passed, mutes

    def place_of(self, index: int) -> Place:
        """Where a record of the first message stands on the log, by its index among those for this vertex."""
        head = self.first
        offset = index if head.places is None else head.places[index]
        if self._former is None:
            return Place(self.key, head.message.first, offset)
        if head.owners is None:
            head.owners = self._former.owners(head.message.body)
        return Place(self.key, head.message.first, offset, head.owners[offset])

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
        done, over = self._former.of(message.first, message.body) if self._former is not None else (set[int](), set[int]())
        left_out = over if self._mutes else done
        try:
            batch = self._decoder.decode(message.body)
        except msgspec.DecodeError as error:
            read = _raw.decode(message.body) if skip or left_out else None
            if read is not None and all(index < skip or index in left_out for index in range(len(read.v))):
                return Arrived(message, read, len(read.v))  # read already, by what the vertex was before a redeploy; only its marks count
            raise RunFailedError(
                f"message {message.first} of {self.key} is not of the edge's type: {error}", code="log.undecodable"
            ) from error
        return Arrived(message, batch, skip, self._share, left_out, done if self._mutes else ())

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
