"""Dead letters on a deployment log: read, settled by the coordinator, removed once nothing is left to be done about them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec
from nats.aio.client import Client

from thalweg.bus.bodies import bodies
from thalweg.bus.fenced import RefusedError, StaleWriteError, publish_after
from thalweg.bus.heads import get_message, last_message
from thalweg.bus.streams import call
from thalweg.errors import RunFailedError, UnreachableError
from thalweg.wire import subjects
from thalweg.wire.commit import CHUNK_HEADER, Commit
from thalweg.wire.dead_letters import AGAIN_KEY, REQUEST_HEADER, Letter, Settled, closed_messages, decode_again, decode_letters
from thalweg.wire.spec import DeploymentSpec, VertexSpec, has_ended

LOOKS_AFTER_SILENCE = 10


@dataclass(frozen=True, slots=True)
class Found:
    """Dead letters of one message of the log.

    Attributes:
        sequence: of its first piece.
        time_ns: when it was stored, UTC.
        letters: all that it has.
    """

    sequence: int
    time_ns: int
    letters: list[Letter]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is done about the dead letters of a vertex.

    Attributes:
        last: sequence of the last message that gives some again or drops some; 0 for none.
        settled: letters that nothing more is to be done about.
        waiting: the vertex has not taken all of that yet.
    """

    last: int
    settled: Settled
    waiting: bool


async def read_letters(client: Client, spec: DeploymentSpec, vertex: str) -> AsyncIterator[Found]:
    """All that the log has of a vertex, oldest first; messages that cannot be read are left out.

    Raises:
        RunFailedError: `log.gone`.
    """
    stream, subject = subjects.stream(spec.workspace, spec.name), subjects.port(spec.workspace, spec.name, vertex, subjects.DEAD_PORT)
    async for body in bodies(client, stream, subject, 1):
        if body.data is not None:
            try:
                yield Found(body.first, body.time_ns, decode_letters(body.data))
            except msgspec.DecodeError:
                continue


async def read_standing(client: Client, spec: DeploymentSpec, vertex: VertexSpec, commit: Commit | None) -> Standing:
    """How the dead letters of a vertex stand. What one that has ended has not taken before is not done, and never will be.

    Raises:
        RunFailedError: `log.gone`.
    """
    stream = subjects.stream(spec.workspace, spec.name)
    last = await last_message(client, stream, subjects.again(spec.workspace, spec.name, vertex.name))
    if last is None:
        return Standing(0, {}, False)
    items, settled = decode_again(last.data)
    position = commit.positions.get(AGAIN_KEY, (1, 0)) if commit is not None else (1, 0)
    is_taken = position[0] == last.sequence and position[1] >= items
    if is_taken or not has_ended(vertex, commit):
        return Standing(last.sequence, settled, not is_taken)
    taken = await get_message(client, stream, {"seq": position[0]}) if position[1] else None
    return Standing(last.sequence, decode_again(taken.data)[1] if taken is not None else {}, False)


async def append_again(client: Client, spec: DeploymentSpec, vertex: str, body: bytes, after: int) -> int:
    """Appends what is to be done about dead letters, once; its sequence.

    Args:
        client, spec, vertex: whose.
        body: as `encode_again` makes it.
        after: sequence of the last such message as it was read, 0 for none.

    Raises:
        StaleWriteError: somebody else has done something meanwhile.
        RunFailedError: `dead_letters.refused`, the log does not take it.
        UnreachableError: the server does not answer.
    """
    subject, request = subjects.again(spec.workspace, spec.name, vertex), os.urandom(12).hex()
    for _ in range(LOOKS_AFTER_SILENCE):
        try:
            return await publish_after(client, subject, body, after, {REQUEST_HEADER: request})
        except RefusedError as error:
            raise RunFailedError(f"the log refuses: {error}", code="dead_letters.refused") from error
        except (UnreachableError, StaleWriteError):  # a reply that was lost looks like somebody else's message, too
            last = await last_message(client, subjects.stream(spec.workspace, spec.name), subject)
            if last is not None and last.headers.get(REQUEST_HEADER) == request:
                return last.sequence
            if (last.sequence if last is not None else 0) != after:
                raise StaleWriteError from None
            await asyncio.sleep(0.2)
    raise UnreachableError("JetStream does not answer", code="nats.unreachable", hint="nothing was done; try again")


async def remove_settled(client: Client, spec: DeploymentSpec, vertex: str, position: tuple[int, int], held_from: int | None) -> bool:
    """Removes messages of which no letter is open; whether nothing is left to be removed now.

    Args:
        client, spec, vertex: whose.
        position: how far the vertex has taken what is done about its dead letters.
        held_from: from this sequence on, somebody else needs the log.

    Raises:
        RunFailedError: `log.gone`.
    """
    stream = subjects.stream(spec.workspace, spec.name)
    message = await get_message(client, stream, {"seq": position[0]})
    if message is None:
        return True
    items, settled = decode_again(message.data)
    if position[1] < items:
        return True  # its next position comes soon
    closed = closed_messages(settled)
    free = [one for one in closed if held_from is None or one < held_from]
    for sequence in free:
        await _remove(client, stream, subjects.port(spec.workspace, spec.name, vertex, subjects.DEAD_PORT), sequence)
    return len(free) == len(closed)


async def _remove(client: Client, stream: str, subject: str, sequence: int) -> None:
    found = await get_message(client, stream, {"seq": sequence})
    if found is None or found.subject != subject:
        return
    pieces = int(found.headers.get(CHUNK_HEADER, "1/1").partition("/")[2])
    for own in range(sequence + pieces - 1, sequence - 1, -1):  # the first piece goes last: it is what is looked for
        await call(client, f"STREAM.MSG.DELETE.{stream}", {"seq": own, "no_erase": True})
