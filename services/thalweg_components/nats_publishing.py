"""Publishes messages to a stream of another NATS server, in order, as far as it takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.js.api import PubAck
from nats.js.errors import APIError

from thalweg import RecordError, UnreachableError

IN_FLIGHT, TIMEOUT_S = 64, 5.0
_FOR_NOW = 500  # codes from there on are of a server that cannot now


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message: its id is the same whenever it is sent."""

    subject: str
    body: bytes
    message_id: str


async def publish(client: Client, messages: Sequence[Outgoing]) -> list[str]:
    """Where the first of the messages are stored, as `stream:sequence`: all, or those before the first that was not.

    Raises:
        UnreachableError: the first one is not stored, as far as is known; nothing speaks against trying again.
        RecordError: the stream refuses the first one for good.
    """
    js, stored = client.jetstream(timeout=TIMEOUT_S), list[str]()
    for low in range(0, len(messages), IN_FLIGHT):
        group = messages[low : low + IN_FLIGHT]
        sent = (js.publish(one.subject, one.body, headers={"Nats-Msg-Id": one.message_id}) for one in group)
        for told in await asyncio.gather(*sent, return_exceptions=True):
            if isinstance(told, PubAck):
                stored.append(f"{told.stream}:{told.seq}")
                continue
            if stored:
                return stored
            raise _fault(told)
    return stored


async def publish_plain(client: Client, messages: Sequence[Outgoing]) -> list[str]:
    """Sends all; the server has them when this returns. Raises as `publish`."""
    try:
        for one in messages:
            await client.publish(one.subject, one.body, headers={"Nats-Msg-Id": one.message_id})
        await client.flush(timeout=TIMEOUT_S)  # type: ignore[arg-type]
    except Exception as error:
        raise _fault(error) from None
    return [one.message_id for one in messages]


def _fault(error: BaseException) -> Exception:
    if isinstance(error, MaxPayloadError) or (isinstance(error, APIError) and (error.code or _FOR_NOW) < _FOR_NOW):
        return RecordError(f"the server refuses it: {type(error).__name__}: {error}")
    if isinstance(error, NatsError | OSError | TimeoutError):
        return UnreachableError(f"{type(error).__name__}: {error}".rstrip(": "), code="nats.unreachable")
    return error if isinstance(error, Exception) else RuntimeError(repr(error))
