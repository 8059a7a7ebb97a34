"""Connections to a NATS server of somebody else's; the deployment's own log is not reached this way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from nats.aio.client import Client, RawCredentials
from nats.errors import Error as NatsError
from nats.errors import NoServersError

from thalweg import RejectedError, Secret, UnreachableError

CONNECT_TIMEOUT_S = 5.0
_REFUSALS = ("authorization", "authentication", "credentials", "permissions")


async def connect(
    servers: Sequence[str],
    secrets: dict[str, Secret | None],
    name: str,
    logger: logging.Logger | None = None,
    *,
    lasting: bool = True,
) -> Client:
    """A connection; it heals itself where it is to last.

    Args:
        servers: URLs without credentials.
        secrets: by slot: `user`, `password`, `token`, `credentials` (text of a .creds file).
        name: of the connection, for those who look at the server.
        logger: is told of errors.

    Raises:
        UnreachableError: nobody answers in time.
        RejectedError: the server does not take the credentials.
    """
    client, told = Client(), list[str]()

    async def on_error(error: Exception) -> None:
        told.append(str(error))
        if logger is not None:
            logger.debug("nats: %s", error)

    given: dict[str, Any] = {slot: one.reveal() for slot, one in secrets.items() if one is not None}
    if "credentials" in given:
        given["user_credentials"] = RawCredentials(given.pop("credentials"))
    target = servers[0]
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await client.connect(
                list(servers),
                name=name,
                connect_timeout=CONNECT_TIMEOUT_S,  # type: ignore[arg-type]
                max_reconnect_attempts=-1 if lasting else 1,
                reconnect_time_wait=0.2,  # type: ignore[arg-type]
                allow_reconnect=lasting,
                ping_interval=10,
                error_cb=on_error,
                **given,
            )
    except (NatsError, NoServersError, OSError, TimeoutError, ValueError) as error:
        with suppress(Exception):
            await client.close()
        said = " ".join([*told, str(error)]).lower()  # a refused connection is also closed: which is told last is a matter of chance
        if any(word in said for word in _REFUSALS):
            raise RejectedError(f"{target}: the server does not take the credentials", code="nats.refused", target=target) from None
        raise UnreachableError(f"{target}: {type(error).__name__}", code="nats.unreachable", target=target) from None
    return client


async def close(client: Client | None) -> None:
    """Closes a connection, whatever it is like. Idempotent."""
    if client is not None:
        with suppress(Exception):
            await client.close()


async def probe(servers: Sequence[str], secrets: dict[str, Secret | None], stream: str | None = None) -> None:
    """Connects once; raises as `connect`, and RejectedError where there is no such stream."""
    client = await connect(servers, secrets, "thalweg probe", lasting=False)
    try:
        if stream is not None:
            await client.jetstream(timeout=CONNECT_TIMEOUT_S).stream_info(stream)
    except (NatsError, TimeoutError) as error:
        what = f"{servers[0]}: stream {stream}: {type(error).__name__}"
        raise RejectedError(what, code="nats.no_stream", target=servers[0]) from None
    finally:
        await close(client)
