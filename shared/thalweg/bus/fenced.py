"""One message to a subject of a stream that must not have grown since it was read."""

from __future__ import annotations

import json

from nats.aio.client import Client
from nats.errors import Error as NatsError

from thalweg.bus import errors
from thalweg.bus.connection import unanswered

TIMEOUT_S = 10.0


class StaleWriteError(Exception):
    """Somebody has written to the subject since it was read."""


class RefusedError(Exception):
    """The server does not take the message; it says why."""


async def publish_after(
    client: Client, subject: str, body: bytes, after: int | None, headers: dict[str, str] | None = None, timeout_s: float = TIMEOUT_S
) -> int:
    """Appends to a subject; the position of what was appended.

    Args:
        client: NATS connection.
        subject, body, headers: what to append.
        after: position of the subject's last message as it was read, 0 for none; None for wherever it is.
        timeout_s: how long to wait for the reply.

    Raises:
        StaleWriteError: the subject has grown since.
        RefusedError: the server does not take it.
        UnreachableError: no reply came; the subject must be read to know.
    """
    fence = {} if after is None else {"Nats-Expected-Last-Subject-Sequence": str(after)}
    try:
        reply = await client.request(subject, body, timeout=timeout_s, headers={**(headers or {}), **fence} or None)
    except (NatsError, OSError, TimeoutError) as error:
        raise unanswered(client, subject, error, "JetStream") from error
    answer = json.loads(reply.data)
    if "error" not in answer:
        return int(answer["seq"])
    if answer["error"].get("err_code") in (errors.WRONG_LAST_SEQUENCE, errors.WRONG_LAST_SEQUENCE_CONSTANT):
        raise StaleWriteError
    raise RefusedError(answer["error"].get("description"))
