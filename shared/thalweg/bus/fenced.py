"""One message to a subject of a stream that must not have grown since it was read."""

from __future__ import annotations

import asyncio
import json
from itertools import chain, repeat

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from thalweg.bus import errors
from thalweg.errors import UnreachableError

TIMEOUT_S = 10.0
_PAUSES_S = (0.005, 0.02, 0.1)


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
        timeout_s: how long to wait for the reply, and for a cluster that has no leader or does not know yet what is on its way.

    Raises:
        StaleWriteError: the subject has grown since.
        RefusedError: the server does not take it.
        UnreachableError: no reply came; the subject must be read to know.
    """
    fence = {} if after is None else {"Nats-Expected-Last-Subject-Sequence": str(after)}
    end = asyncio.get_running_loop().time() + timeout_s
    for pause_s in chain(_PAUSES_S, repeat(_PAUSES_S[-1])):
        try:
            reply = await client.request(subject, body, timeout=timeout_s, headers={**(headers or {}), **fence} or None)
            answer = json.loads(reply.data)
        except NoRespondersError:  # nobody has had it
            answer = {"error": {"description": "nobody keeps it"}}
        except (NatsError, OSError, TimeoutError) as error:
            raise UnreachableError(f"JetStream does not answer: {type(error).__name__}", code="nats.unreachable") from error
        if "error" not in answer:
            return int(answer["seq"])
        why, code = answer["error"].get("description"), answer["error"].get("err_code")
        if code == errors.WRONG_LAST_SEQUENCE:
            raise StaleWriteError
        if code is not None and code != errors.WRONG_LAST_SEQUENCE_CONSTANT and code not in errors.TEMPORARY:
            raise RefusedError(why)
        if asyncio.get_running_loop().time() + pause_s > end:
            raise UnreachableError(f"JetStream does not take a message for now: {why}", code="nats.unreachable")
        await asyncio.sleep(pause_s)
    raise AssertionError("it ends by itself")
