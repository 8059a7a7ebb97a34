"""Runs the gateway: connects, reads where URLs lead, serves until it is asked to stop."""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import dataclass

import uvicorn

from thalweg.bus.alive import alive
from thalweg.bus.connection import Client, connect_as, raise_if_ended
from thalweg.bus.gathering import Gathering
from thalweg.errors import ShutOutError, UsageError
from thalweg.runtime.tasks import end_tasks
from thalweg.settings import Settings
from thalweg_gateway.app import make_app
from thalweg_gateway.directory import Directory
from thalweg_gateway.inputs import BODY_TIMEOUT_S, Inputs
from thalweg_gateway.outputs import Outputs
from thalweg_gateway.patience import HEAD_TIMEOUT_S, patient
from thalweg_gateway.rates import Rates
from thalweg_gateway.watches import Watches

_log = logging.getLogger("thalweg.gateway")
STOP_S, CHECK_S = 5, 2.0
MAX_SOCKET_BYTES = 64 << 20  # more than any endpoint takes; each has a limit of its own
MAX_AT_ONCE = 4000


@dataclass(frozen=True, slots=True)
class Listening:
    """How callers are listened to.

    Attributes:
        host, port: to listen on; port 0 is any that is free. The log says which.
        head_timeout_s, body_timeout_s: how long the head and the body of a request may take.
    """

    host: str
    port: int
    head_timeout_s: float = HEAD_TIMEOUT_S
    body_timeout_s: float = BODY_TIMEOUT_S


async def serve(settings: Settings, how: Listening) -> None:
    """Serves until SIGINT or SIGTERM.

    Args:
        settings: where NATS is, and the workspace.
        how: callers are listened to.

    Raises:
        UsageError: no server is given, or the port is in use (`port.in_use`).
        UnreachableError: NATS does not answer.
    """
    if settings.nats_url is None:
        raise UsageError("THALWEG_NATS_URL is not set", code="settings.missing")
    listening = _listen(how.host, how.port)
    client = await connect_as(settings, "gateway")
    directory, watches, gathering = Directory(client, settings.workspace), Watches(client), Gathering(client)
    try:
        await directory.load()
        inputs = Inputs(client, directory, Rates(), watches, gathering, how.body_timeout_s)
        app = make_app(directory, inputs, Outputs(client, directory))
        config = uvicorn.Config(
            app,
            http=patient(how.head_timeout_s),
            log_config=None,
            access_log=False,  # URLs may hold tokens
            ws_max_size=MAX_SOCKET_BYTES,
            ws_per_message_deflate=False,
            limit_concurrency=MAX_AT_ONCE,
            timeout_graceful_shutdown=STOP_S,
            lifespan="off",
            server_header=False,
        )
        _log.info("listening on http://%s:%d", how.host, listening.getsockname()[1])
        async with alive(settings.alive_file, client):
            await _serve(uvicorn.Server(config), listening, client)
    finally:
        await gathering.close()
        await watches.close()
        await directory.close()
        await client.close()


async def _serve(server: uvicorn.Server, listening: socket.socket, client: Client) -> None:
    """Serves until it is asked to stop, or NATS has ended the connection for good: whoever keeps it then starts it again."""

    async def watch() -> None:
        try:
            while True:
                raise_if_ended(client)
                await asyncio.sleep(CHECK_S)
        except ShutOutError:
            server.should_exit = True
            raise

    watching = asyncio.create_task(watch())
    try:
        await server.serve(sockets=[listening])
    finally:
        if not watching.done():
            await end_tasks(watching)
    if watching.done() and not watching.cancelled():
        await watching


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise UsageError(f"cannot listen on {host}:{port}: {error.strerror}", code="port.in_use", hint="choose another port") from error
    listening.set_inheritable(True)
    return listening
