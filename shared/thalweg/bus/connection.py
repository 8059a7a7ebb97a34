"""Connects to NATS so that a connection outlives any restart of the server, and asks JetStream's API."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from contextlib import suppress
from typing import Any, Literal
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.errors import Error as NatsError

from thalweg.errors import UnreachableError, UsageError
from thalweg.runtime.tasks import end_tasks
from thalweg.settings import EMBEDDED_NATS, DeclaredSync

__all__ = ["Client", "NatsError", "connect", "connect_unless", "is_clustered", "replicas_of", "request_json", "sync_of"]
_log = logging.getLogger("thalweg.bus")
REQUEST_TIMEOUT_S = 5.0
FIRST_CONNECT_S = 5.0
CONNECT_S = 2.0  # of one server among several, until the next one is tried
PING_S = 3.0  # a server whose machine is cut off is given up after three of them, which are not answered
_HINT = "is nats-server running there? THALWEG_NATS_URL says where to look, as in nats://127.0.0.1:4222 (several: joined by commas)"


class _Client(Client):
    """nats-py's, which may also be closed while the server is away.

    Attributes:
        replicas: on how many servers a stream is kept that is made over this connection.
    """

    replicas = 1

    async def close(self) -> None:
        """Closes the connection; what waits for a server that is away is dropped."""
        if not self.is_connected:  # nats-py would write it to the closed transport, at which uvloop raises RuntimeError
            self._pending, self._pending_data_size = [], 0
        await super().close()


async def connect(url: str, name: str, replicas: int = 1) -> Client:
    """A connection that reconnects for ever once it was made; tries for up to 5 s to make it, 2 s longer for each further server.

    Args:
        url: of a server, or of several of one cluster, joined by commas; the others are found by those that answer. A name and a
            password in one of them are those for all.
        name: of who connects, for people who look at the server.
        replicas: on how many servers a stream is kept that is made over this connection.

    Raises:
        UnreachableError: `nats.unreachable`, when nothing answers at `url`.
        UsageError: `settings.invalid`, when `url` is none.
    """
    servers = _split(url)
    client, last = _Client(), list[Exception]()
    client.replicas = replicas

    async def on_error(error: Exception) -> None:
        last[:] = [error]
        _log.debug("nats: %s", error)

    connecting = asyncio.ensure_future(
        client.connect(
            servers,
            name=name,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.1,  # type: ignore[arg-type]  # any number of seconds will do
            connect_timeout=CONNECT_S if len(servers) > 1 else FIRST_CONNECT_S,  # type: ignore[arg-type]
            error_cb=on_error,
            ping_interval=PING_S,  # type: ignore[arg-type]
            allow_reconnect=True,
            pending_size=256 << 20,
            **_account(servers),
        )
    )
    try:
        # The limit is ours: to nats-py, -1 attempts are as many for the first connection as for the later ones. By a task of its own,
        # since nats-py swallows cancellations that come early, and would go on for ever.
        await asyncio.wait({connecting}, timeout=FIRST_CONNECT_S + CONNECT_S * (len(servers) - 1))
        if not connecting.done():
            raise TimeoutError
        await connecting
    except TimeoutError as error:
        await end_tasks(connecting)
        await client.close()
        why = last[0] if last else "no answer"
        raise UnreachableError(f"NATS cannot be reached at {_without_password(url)}: {why}", code="nats.unreachable", hint=_HINT) from error
    except (NatsError, OSError, ValueError) as error:  # refused before anything was tried
        raise UsageError(f"{_without_password(url)!r} is not the URL of a NATS server", code="settings.invalid", hint=_HINT) from error
    except asyncio.CancelledError:
        await end_tasks(connecting)
        await client.close()
        raise
    return client


async def connect_unless(stop: asyncio.Event, url: str, name: str, replicas: int = 1) -> Client | None:
    """As `connect`, given up when `stop` is set: None then."""
    connecting, stopping = asyncio.ensure_future(connect(url, name, replicas)), asyncio.ensure_future(stop.wait())
    await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if connecting.done():
        return await connecting
    await end_tasks(connecting)  # one that was connected all the same is closed
    if not connecting.cancelled() and connecting.exception() is None:
        await connecting.result().close()
    return None


def sync_of(client: Client, declared: DeclaredSync | None) -> Literal["always", "declared-always", "declared-lazy", "unknown"]:
    """Whether the server has on disk what it acknowledges. It is known of the embedded one alone: only a system account could ask.

    Args:
        client: connected to it.
        declared: what was said of any other (`Settings.nats_sync`).
    """
    if client._server_info.get("server_name") == EMBEDDED_NATS:
        return "always"
    if declared is None:
        return "unknown"
    return "declared-always" if declared == "always" else "declared-lazy"


def is_clustered(client: Client) -> bool:
    """Whether the server belongs to a cluster. There a consumer may be on a server that lags behind the stream's leader."""
    return bool(client._server_info.get("cluster"))


def replicas_of(client: Client) -> int:
    """On how many servers a stream is kept that is made over a connection."""
    return client.replicas if isinstance(client, _Client) else 1


async def request_json(
    client: Client, subject: str, body: dict[str, Any] | None = None, timeout_s: float = REQUEST_TIMEOUT_S
) -> dict[str, Any]:
    """One request of the JetStream API. Raises nats' TimeoutError or NoRespondersError while the server is away."""
    reply = await client.request(subject, json.dumps(body or {}).encode(), timeout=timeout_s)
    answer: dict[str, Any] = json.loads(reply.data)
    return answer


def _account(servers: list[str]) -> dict[str, Any]:
    """Name and password that a URL has. They go apart from it: the servers that are found later are told without, and would refuse us."""
    with suppress(ValueError):  # what is no URL is refused by nats-py
        for one in map(urlsplit, servers):
            if one.username:
                return {"user": one.username, "password": one.password} if one.password else {"token": one.username}
    return {}


def _split(url: str) -> list[str]:
    """The servers of a list, which a password with a comma in it does not end."""
    return [one.strip() for one in re.split(r",(?=\s*\w+://)|,(?![^@/]*@)", url)]


def _without_password(url: str) -> str:
    parted = (one.partition("://") if "://" in one else ("", "", one) for one in _split(url))
    return ",".join(scheme + separator + rest.rpartition("@")[2] for scheme, separator, rest in parted)
