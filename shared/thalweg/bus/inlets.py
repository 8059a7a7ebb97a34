"""Publishes to the input endpoint of a deployment: acknowledged, in order, harmless to repeat; says when the graph pushes back."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from thalweg.bus import errors
from thalweg.errors import RunFailedError, ThalwegError, UnreachableError

MESSAGE_ID = "Nats-Msg-Id"
BATCH = 128  # messages of one atomic batch
FULL_PATIENCE_S, TIMEOUT_S = 1.0, 5.0
_WAITS_S = (0.005, 0.01, 0.02, 0.05, 0.1)


class FullError(ThalwegError):
    """The graph takes no more for now: its input endpoint holds as much as it may."""


class PartlyStoredError(Exception):
    """Not all was stored, or nothing.

    Args:
        sequences: of those messages that were, the first ones.
        error: why not the next.
    """

    def __init__(self, sequences: list[int], error: ThalwegError) -> None:
        super().__init__(str(error))
        self.sequences, self.error = sequences, error


async def publish(client: Client, subject: str, bodies: Sequence[bytes], key: str | None = None) -> list[int]:
    """Appends values to an input endpoint's subject, in order; their sequences, once they are stored.

    Args:
        client: NATS connection.
        subject: of the endpoint.
        bodies: msgpack values; each group of `BATCH` is stored whole or not at all.
        key: the same one within two minutes stores nothing anew, and gives the sequences of then.

    Raises:
        PartlyStoredError: some are stored, or none, and why.
    """
    stored: list[int] = []
    for low in range(0, len(bodies), BATCH):
        keys = [f"{key}/{index}" for index in range(low, low + BATCH)] if key is not None else None
        try:
            stored += await _publish_group(client, subject, bodies[low : low + BATCH], keys)
        except ThalwegError as error:
            raise PartlyStoredError(stored, error) from error
    return stored


async def _publish_group(client: Client, subject: str, bodies: Sequence[bytes], keys: list[str] | None) -> list[int]:
    """Those of one atomic batch."""
    deadline, waits = asyncio.get_running_loop().time() + FULL_PATIENCE_S, 0
    while True:
        answer = await _try(client, subject, bodies, keys)
        if "error" not in answer:
            last = int(answer["seq"])
            return list(range(last - len(bodies) + 1, last + 1))
        code = answer["error"].get("err_code")
        if code == errors.DUPLICATE_IN_BATCH and keys is not None:
            singly = [await _publish_group(client, subject, [body], [key]) for body, key in zip(bodies, keys, strict=False)]
            return [one for group in singly for one in group]
        if code in errors.TEMPORARY or code in (errors.ID_IN_PROCESS, errors.INCOMPLETE_BATCH):
            what = f"JetStream takes no record for now: {answer['error'].get('description')}"
            raise UnreachableError(what, code="nats.unreachable", hint="try again with the same Idempotency-Key")
        if code != errors.STORE_FAILED:
            raise RunFailedError(f"the log refuses a record: {answer['error'].get('description')}", code="endpoint.refused")
        if asyncio.get_running_loop().time() > deadline:
            raise FullError("the graph is behind, and takes no more for now", code="endpoint.full", hint="try again later")
        await asyncio.sleep(_WAITS_S[min(waits, len(_WAITS_S) - 1)])
        waits += 1


async def _try(client: Client, subject: str, bodies: Sequence[bytes], keys: list[str] | None) -> dict[str, Any]:
    headers = [{MESSAGE_ID: keys[index]} if keys is not None else {} for index in range(len(bodies))]
    try:
        if len(bodies) == 1:
            reply = await client.request(subject, bodies[0], timeout=TIMEOUT_S, headers=headers[0] or None)
        else:
            batch = os.urandom(12).hex()
            for number, (own, body) in enumerate(zip(headers, bodies, strict=True), 1):
                own |= {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
                if number < len(bodies):
                    await client.publish(subject, body, headers=own)
            reply = await client.request(subject, bodies[-1], timeout=TIMEOUT_S, headers={**headers[-1], "Nats-Batch-Commit": "1"})
        answer: dict[str, Any] = json.loads(reply.data)
        return answer
    except NoRespondersError as error:
        raise UnreachableError("the deployment is not running", code="deployment.not_running", hint="try again later") from error
    except (NatsError, OSError, TimeoutError, ValueError) as error:
        what = f"no reply from JetStream: {type(error).__name__}; whether the record is stored is not known"
        raise UnreachableError(what, code="nats.unreachable", hint="try again with the same Idempotency-Key") from error
