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

from thalweg.access.access import NO_ACCESS, Access
from thalweg.bus.admitted import AdmittedClient
from thalweg.errors import ShutOutError, UnreachableError, UsageError
from thalweg.runtime.tasks import end_tasks
from thalweg.settings import EMBEDDED_NATS, DeclaredSync, Settings

__all__ = [
    "Client",
    "NatsError",
    "connect",
    "connect_as",
    "connect_unless",
    "is_clustered",
    "raise_if_ended",
    "reader_of",
    "replicas_of",
    "request_json",
    "sync_of",
    "unanswered",
]
_log = logging.getLogger("thalweg.bus")
REQUEST_TIMEOUT_S = 5.0
FIRST_CONNECT_S = 5.0
CONNECT_S = 2.0  # of one server among several, until the next one is tried
PING_S = 3.0  # a server whose machine is cut off is given up after three of them, which are not answered
_HINT = "is nats-server running there? THALWEG_NATS_URL says where to look, as in nats://127.0.0.1:4222 (several: joined by commas)"


async def connect(url: str, name: str, replicas: int = 1, access: Access = NO_ACCESS) -> Client:
    """A connection that reconnects for ever once it was made; tries for up to 5 s to make it, 2 s longer for each further server.

    It ends only when the server ends it for good, as when its credentials have expired: see `raise_if_ended`.

    Args:
        url: of a server, or of several of one cluster, joined by commas; the others are found by those that answer. A name and a
            password in one of them are those for all.
        name: of who connects, for people who look at the server.
        replicas: on how many servers a stream is kept that is made over this connection.
        access: by which it is let in.

    Raises:
        UnreachableError: `nats.unreachable`, when nothing answers at `url`; `nats.refused`, when the server does not let it in, or is
            not the one that it should be.
        UsageError: `settings.invalid`, when `url` is none.
        RejectedError: the credentials, or the authority, cannot be used (`credentials.…`, `ca.…`).
    """
    client, last = AdmittedClient(access), list[Exception]()
    servers, client.replicas = _split(url), replicas
    credentials = client.credentials = access.credentials()
    if credentials is not None and credentials.is_expired:
        raise _refused(url, f"the credentials of {credentials.name} have expired")
    is_refused = asyncio.Event()

    async def on_error(error: Exception) -> None:
        last[:] = [error]
        await client.note(error)
        if client.refusal:
            is_refused.set()

    options: dict[str, Any] = {}
    if credentials is not None:
        options = {"signature_cb": client.sign, "user_jwt_cb": client.token, "inbox_prefix": credentials.inbox}
    if access.demands_tls or any(one.startswith("tls://") for one in servers):
        options["tls"] = access.tls()
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
            **options,
            **_account(servers),
        )
    )
    refused = asyncio.ensure_future(is_refused.wait())
    try:
        # The limit is ours: to nats-py, -1 attempts are as many for the first connection as for the later ones. By a task of its own,
        # since nats-py swallows cancellations that come early, and would go on for ever.
        timeout_s = FIRST_CONNECT_S + CONNECT_S * (len(servers) - 1)
        await asyncio.wait({connecting, refused}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if not connecting.done():
            raise TimeoutError
        await connecting
    except TimeoutError as error:
        await end_tasks(connecting)
        await client.close()
        if client.refusal:
            raise _refused(url, client.refusal, client) from error
        why = last[0] if last else "no answer"
        raise UnreachableError(f"NATS cannot be reached at {_without_password(url)}: {why}", code="nats.unreachable", hint=_HINT) from error
    except (NatsError, OSError, ValueError) as error:  # refused before anything was tried
        raise UsageError(f"{_without_password(url)!r} is not the URL of a NATS server", code="settings.invalid", hint=_HINT) from error
    except asyncio.CancelledError:
        await end_tasks(connecting)
        await client.close()
        raise
    finally:
        await end_tasks(refused)
    return client


def raise_if_ended(client: Client) -> None:
    """Returns while a connection is there, or may come back.

    Raises:
        ShutOutError: `nats.refused`, it will not come back by itself.
    """
    if client.is_closed:
        why = str(client.last_error or "it is closed")
    elif (
        isinstance(client, AdmittedClient) and client.credentials is not None and client.credentials.is_expired and not client.is_connected
    ):
        why = "the credentials have expired"
    else:
        return
    raise ShutOutError(f"NATS has ended the connection: {why}", code="nats.refused")


def unanswered(client: Client, subject: str, error: Exception, who: str) -> UnreachableError:
    """The error for a request that was not answered. What the server does not allow it tells apart from requests, some time before.

    Args:
        client, subject: whose request.
        error: as the client raised it.
        who: does not answer.
    """
    said = client.refusal if isinstance(client, AdmittedClient) else ""
    if subject.lower() in said.lower():
        return UnreachableError(f"NATS refuses: {said}", code="nats.refused", hint="these credentials do not allow it")
    return UnreachableError(f"{who} does not answer: {type(error).__name__}", code="nats.unreachable")


def reader_of(client: Client, stream: str) -> str | None:
    """Subject on which a coordinator is asked for a consumer of a stream; None where it may be made here."""
    credentials = client.credentials if isinstance(client, AdmittedClient) else None
    return credentials.reader(stream) if credentials is not None else None


async def connect_as(settings: Settings, name: str, access: Access | None = None) -> Client:
    """As `connect`, with the server, the replicas and, where none is given, the access that the settings say.

    Raises:
        UsageError: also `settings.missing`, when they name no server.
    """
    if settings.nats_url is None:
        raise UsageError("THALWEG_NATS_URL is not set", code="settings.missing")
    return await connect(settings.nats_url, name, settings.replicas, access or Access.of(settings))


async def connect_unless(stop: asyncio.Event, settings: Settings, name: str) -> Client | None:
    """As `connect_as`, given up when `stop` is set: None then."""
    connecting, stopping = asyncio.ensure_future(connect_as(settings, name)), asyncio.ensure_future(stop.wait())
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
    return client.replicas if isinstance(client, AdmittedClient) else 1


async def request_json(
    client: Client, subject: str, body: dict[str, Any] | None = None, timeout_s: float = REQUEST_TIMEOUT_S
) -> dict[str, Any]:
    """One request of the JetStream API. Raises nats' TimeoutError or NoRespondersError while the server is away."""
    reply = await client.request(subject, json.dumps(body or {}).encode(), timeout=timeout_s)
    answer: dict[str, Any] = json.loads(reply.data)
    return answer


def _refused(url: str, why: str, client: AdmittedClient | None = None) -> UnreachableError:
    whose = client.credentials.name if client is not None and client.credentials is not None else ""
    if "certificate" in why.lower() or "tls" in why.lower() or "ssl" in why.lower():
        hint = "THALWEG_NATS_CA is a file with the authority of the server's certificate; the URL has a name that is in it"
    elif whose:
        hint = f"the server does not know the credentials of {whose}, or they were revoked"
    elif client is None:
        hint = "`thalweg keys` and `thalweg endpoint credentials` make new ones"
    else:
        hint = "THALWEG_NATS_CREDS is a file of credentials, as `thalweg keys` makes them"
    return UnreachableError(f"NATS at {_without_password(url)} cannot be used: {why}", code="nats.refused", hint=hint)


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
