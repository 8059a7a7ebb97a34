"""Connects to NATS so that a connection outlives any restart of the server, and asks JetStream's API."""

from __future__ import annotations

import json
import logging
from typing import Any

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError

from thalweg.errors import UnreachableError

__all__ = ["Client", "NatsError", "connect", "request_json"]
_log = logging.getLogger("thalweg.bus")
REQUEST_TIMEOUT_S = 5.0


async def connect(url: str, name: str) -> Client:
    """A connection that reconnects for ever once it was made.

    Raises:
        UnreachableError: `nats.unreachable`, when nothing answers at `url` now.
    """

    async def on_error(error: Exception) -> None:
        _log.debug("nats: %s", error)

    try:
        return await nats.connect(
            url,
            name=name,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.1,
            connect_timeout=5,
            error_cb=on_error,
            ping_interval=10,
            allow_reconnect=True,
            pending_size=256 << 20,
        )
    except (NatsError, OSError, TimeoutError) as error:
        raise UnreachableError(
            f"NATS cannot be reached at {_without_password(url)}: {error or type(error).__name__}",
            code="nats.unreachable",
            hint="is nats-server running there? THALWEG_NATS_URL says where to look",
        ) from error


async def request_json(
    client: Client, subject: str, body: dict[str, Any] | None = None, timeout_s: float = REQUEST_TIMEOUT_S
) -> dict[str, Any]:
    """One request of the JetStream API. Raises nats' TimeoutError or NoRespondersError while the server is away."""
    reply = await client.request(subject, json.dumps(body or {}).encode(), timeout=timeout_s)
    answer: dict[str, Any] = json.loads(reply.data)
    return answer


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2]
