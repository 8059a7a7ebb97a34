"""Connects to NATS so that a connection outlives any restart of the server, and asks JetStream's API."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, Literal

from nats.aio.client import Client
from nats.errors import Error as NatsError

from thalweg.errors import UnreachableError, UsageError
from thalweg.runtime.tasks import end_tasks
from thalweg.settings import EMBEDDED_NATS, DeclaredSync

__all__ = ["Client", "NatsError", "connect", "connect_unless", "request_json", "sync_of"]
_log = logging.getLogger("thalweg.bus")
REQUEST_TIMEOUT_S = 5.0
FIRST_CONNECT_S = 5.0
_HINT = "is nats-server running there? THALWEG_NATS_URL says where to look, as in nats://127.0.0.1:4222"


class _Client(Client):
    """nats-py's, which may also be closed while the server is away."""

    async def close(self) -> None:
        """Closes the connection; what waits for a server that is away is dropped."""
        if not self.is_connected:  # nats-py would write it to the closed transport, at which uvloop raises RuntimeError
            self._pending, self._pending_data_size = [], 0
        await super().close()


async def connect(url: str, name: str) -> Client:
    """A connection that reconnects for ever once it was made; tries for up to 5 s to make it.

    Raises:
        UnreachableError: `nats.unreachable`, when nothing answers at `url`.
        UsageError: `settings.invalid`, when `url` is none.
    """
    client, last = _Client(), list[Exception]()

    async def on_error(error: Exception) -> None:
        last[:] = [error]
        _log.debug("nats: %s", error)

    connecting = asyncio.ensure_future(
        client.connect(
            url,
            name=name,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.1,  # type: ignore[arg-type]  # any number of seconds will do
            connect_timeout=5,
            error_cb=on_error,
            ping_interval=10,
            allow_reconnect=True,
            pending_size=256 << 20,
        )
    )
    try:
        # The limit is ours: to nats-py, -1 attempts are as many for the first connection as for the later ones. By a task of its own,
        # since nats-py swallows cancellations that come early, and would go on for ever.
        await asyncio.wait({connecting}, timeout=FIRST_CONNECT_S)
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


async def connect_unless(stop: asyncio.Event, url: str, name: str) -> Client | None:
    """As `connect`, given up when `stop` is set: None then."""
    connecting, stopping = asyncio.ensure_future(connect(url, name)), asyncio.ensure_future(stop.wait())
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
