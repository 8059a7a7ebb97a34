"""What has arrived at a vertex but is not processed: one queue per edge, and the order in which records leave them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import msgspec

from thalweg.wire.batch import Batch, batch_decoder
from thalweg.wire.commit import END_OF_TIME

BEGINNING = -(2**63)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the deployment log, whole (the pieces of a cut one joined)."""

    edge: str
    first: int
    last: int
    body: bytes
    watermark: int
    ended: bool


class Arrived:
    """A decoded message, and how many of its records are processed."""

    __slots__ = ("batch", "index", "message", "progress")

    def __init__(self, message: Message, batch: Batch[Any], skip: int) -> None:
        self.message, self.batch, self.index = message, batch, skip
        self.progress = batch.progress()

    @property
    def left(self) -> int:
        """Records not processed yet."""
        return len(self.batch.v) - self.index


class Edge:
    """One input edge of a vertex.

    Args:
        key: name in positions.
        port: input port of the vertex.
        order: rank among the vertex's edges; ties in time go to the lower one.
        value_type: what msgspec decodes its values into.
        position: where reading begins: (sequence, records to skip).
    """

    def __init__(self, key: str, port: str, order: int, value_type: Any, position: tuple[int, int]) -> None:
        self.key, self.port, self.order = key, port, order
        self.position = position
        self.queue: deque[Arrived] = deque()
        self.waiting_bytes = 0
        self.watermark, self.ended = BEGINNING, False
        self.taken_messages = 0
        self._decoder: msgspec.msgpack.Decoder[Batch[Any]] = batch_decoder(value_type)

    def offer(self, message: Message) -> None:
        """Takes a message in. One that lies before the position is passed over, so offering twice is harmless."""
        start, skip = self.position if not self.queue else (self.queue[-1].message.last + 1, 0)
        if message.last < start:
            return
        arrived = Arrived(message, self._decoder.decode(message.body), skip if message.first == start else 0)
        self.queue.append(arrived)
        self.waiting_bytes += len(message.body)
        self.settle()

    def take(self, count: int) -> None:
        """Marks the next records of the first message as processed."""
        head = self.queue[0]
        head.index += count
        self.position = (head.message.first, head.index)
        self.settle()

    def settle(self) -> None:
        """Drops messages that are processed whole, taking over their watermark and end mark."""
        while self.queue and not self.queue[0].left:
            message = self.queue.popleft().message
            self.waiting_bytes -= len(message.body)
            self.taken_messages += 1
            self.position = (message.last + 1, 0)
            self.watermark = max(self.watermark, message.watermark)
            if message.ended:
                self.ended, self.watermark = True, END_OF_TIME

    @property
    def progress(self) -> int:
        """No record that is still to come out of this edge has a lower progress time."""
        return self.queue[0].progress[self.queue[0].index] if self.queue else self.watermark


def choose_by_time(edges: list[Edge]) -> Edge | None:
    """The edge whose next record is the earliest, or None while an edge that could bring an earlier one is silent.

    Order: progress time, then the edge's rank, then order in the edge; it does not depend on when messages arrived.
    """
    best: Edge | None = None
    for edge in edges:
        if edge.queue and (best is None or edge.progress < best.progress):
            best = edge
    if best is None:
        return None
    for edge in edges:
        if not edge.queue and not edge.ended and (edge.watermark, edge.order) <= (best.progress, best.order):
            return None
    return best


def choose_by_arrival(edges: list[Edge]) -> Edge | None:
    """The edge whose next message is the oldest on the log."""
    waiting = [edge for edge in edges if edge.queue]
    return min(waiting, key=lambda edge: edge.queue[0].message.first) if waiting else None


def run_length(edge: Edge, edges: list[Edge]) -> int:
    """How many records may be taken from `edge` in one go before the order has to be decided again."""
    return edge.queue[0].left if len(edges) == 1 else 1
