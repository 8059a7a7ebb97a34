"""JetStream's API: one call of it, and making a stream."""

from __future__ import annotations

import asyncio
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError

from thalweg.bus import errors
from thalweg.bus.connection import replicas_of, request_json
from thalweg.errors import RejectedError, UnreachableError

PEERS_PATIENCE_S = 10.0  # a server that is started anew is back by then
_HINTS = {
    errors.REPLICAS_NOT_SUPPORTED: "THALWEG_REPLICAS is for a cluster of at least so many NATS servers; this is a single one",
    errors.NO_PEERS: "a new stream needs as many running servers as THALWEG_REPLICAS says; those there are do without one that is away",
}


async def call(client: Client, operation: str, body: dict[str, Any], deadline_s: float = 30.0) -> dict[str, Any]:
    """A JetStream API call, repeated while the server is away, or the cluster has no leader.

    Raises:
        UnreachableError: `nats.unreachable`, after `deadline_s`.
    """
    end = asyncio.get_running_loop().time() + deadline_s
    while True:
        try:
            answer = await request_json(client, f"$JS.API.{operation}", body)
            if answer.get("error", {}).get("err_code") not in errors.TEMPORARY:
                return answer
            why: str = answer["error"].get("description", "")
        except (NatsError, OSError, TimeoutError) as error:
            why = type(error).__name__
        if asyncio.get_running_loop().time() > end:
            raise UnreachableError(f"JetStream does not answer: {why}", code="nats.unreachable")
        await asyncio.sleep(0.1)


async def create_stream(client: Client, config: dict[str, Any], replicas: int | None = None) -> None:
    """Makes a stream where there is none of that name.

    Args:
        client: NATS connection.
        config: of the stream, as JetStream takes it.
        replicas: on how many servers it is kept; None for what the connection says.

    Raises:
        RejectedError: `log.refused`, the server does not make it.
        UnreachableError: `nats.unreachable`.
    """
    config = {**config, "num_replicas": replicas_of(client) if replicas is None else replicas}
    end = asyncio.get_running_loop().time() + PEERS_PATIENCE_S
    while True:
        answer = await call(client, f"STREAM.CREATE.{config['name']}", config)
        code = answer.get("error", {}).get("err_code")
        if code in (None, errors.STREAM_NAME_IN_USE):
            return
        if code != errors.NO_PEERS or asyncio.get_running_loop().time() > end:
            what = f"stream {config['name']} cannot be made: {answer['error'].get('description')}"
            raise RejectedError(what, code="log.refused", hint=_HINTS.get(code))
        await asyncio.sleep(0.1)


async def match_replicas(client: Client, name: str) -> str | None:
    """Gives a stream that was made before as many replicas as the connection says; why not, for one that cannot have them.

    Raises:
        UnreachableError: `nats.unreachable`.
    """
    config = (await call(client, f"STREAM.INFO.{name}", {})).get("config")
    if config is None or config["num_replicas"] == replicas_of(client):
        return None
    answer = await call(client, f"STREAM.UPDATE.{name}", {**config, "num_replicas": replicas_of(client)})
    if "error" not in answer:
        return None
    wanted = replicas_of(client)
    return f"stream {name} has {config['num_replicas']} replicas, and not {wanted}: {answer['error'].get('description')}"
