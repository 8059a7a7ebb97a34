"""Reads whole message bodies of a subject, the pieces of cut ones joined, within bounds; for looking, not for following."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from nats.aio.client import Client

from thalweg.bus.heads import StoredMessage, get_message
from thalweg.wire.commit import CHUNK_HEADER

MAX_BODY_BYTES = 16 << 20  # a larger one is passed over: it is looked at by people


@dataclass(frozen=True, slots=True)
class Body:
    """One message, whole.

    Attributes:
        first, last: sequences of its first and last piece.
        time_ns: when its last piece that was read was stored, UTC.
        data: what it holds; None for one that is too large, or of which pieces are trimmed.
    """

    first: int
    last: int
    data: bytes | None
    time_ns: int = 0


async def bodies(client: Client, stream: str, subject: str, start: int, max_bytes: int = MAX_BODY_BYTES) -> AsyncIterator[Body]:
    """Messages of a subject from a sequence on, oldest first, to the end that it has now.

    Args:
        client: NATS connection.
        stream: the deployment log.
        subject: of one port.
        start: sequence to begin at; trimmed messages are left out.
        max_bytes: of one body.

    Raises:
        RunFailedError: `log.gone`.
    """
    sequence = start
    while (found := await get_message(client, stream, {"seq": max(sequence, 1), "next_by_subj": subject})) is not None:
        body = await _joined(client, stream, found, max_bytes)
        yield body
        sequence = body.last + 1


async def _joined(client: Client, stream: str, found: StoredMessage, max_bytes: int) -> Body:
    """The body that a piece belongs to; pieces are neighbours in the log, since their batch was atomic."""
    index, _, count = found.headers.get(CHUNK_HEADER, "1/1").partition("/")
    first = found.sequence - int(index) + 1
    last = first + int(count) - 1
    if first == last:
        return Body(first, last, found.data if len(found.data) <= max_bytes else None, found.time_ns)
    if index != "1" or len(found.data) * int(count) > max_bytes + len(found.data):
        return Body(first, last, None)
    pieces = [found.data]
    for sequence in range(first + 1, last + 1):
        piece = await get_message(client, stream, {"seq": sequence})
        if piece is None:
            return Body(first, last, None)
        pieces.append(piece.data)
    return Body(first, last, b"".join(pieces), found.time_ns)
