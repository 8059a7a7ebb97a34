"""`thalweg up`: the embedded servers, a coordinator for every deployment and a gateway, in the foreground."""

from __future__ import annotations

import json
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvloop

from thalweg.access.keys import KeyFolder
from thalweg.bus.connection import connect
from thalweg.bus.presence import wait_for_coordinator
from thalweg.embedded import EmbeddedStack, ManagedProcess
from thalweg.embedded.leftovers import end_leftover
from thalweg.embedded.servers import HOST, free_ports, is_free, speaks_http
from thalweg.errors import RejectedError, UnreachableError
from thalweg.settings import Settings, child_environment

_READY_TIMEOUT_S = 30.0
HTTP_PORT = 8080
_PORTS, _KEYS, KEYS = "ports.json", "s3-keys.sh", "keys"


def run_up(settings: Settings, nats_port: int, http_port: int | None, say: Callable[[str], None], *, secure: bool = False) -> None:
    """Serves until SIGINT or SIGTERM, then ends everything in order: gateway, coordinator, vertices, servers.

    Deployments stay stored, and go on with the next start in the same folder. Ports are those of the last start where they are free.

    Args:
        settings: workspace, bucket and data folder; given servers are left aside.
        nats_port: 0 for the one of the last start, else any.
        http_port: None for the one of the last start, else 8080 where it is free, else any; 0 for any.
        say: prints a line.
        secure: NATS speaks TLS and lets in who has credentials, which are made in the folder `keys` of the data folder.

    Raises:
        RejectedError: the data folder or a port is in use.
        UnreachableError: a server does not come up.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if settings.metrics_port and settings.metrics_host == HOST and not is_free(settings.metrics_port):
        raise RejectedError(f"port {settings.metrics_port} is in use", code="port.in_use", hint="choose another one for metrics, or none")
    data = settings.data.resolve()
    last = _last_ports(data)
    keys = KeyFolder(data / KEYS) if secure else None
    with EmbeddedStack(data, nats_port or last[0], last[1], keys=keys, workspace=settings.workspace) as stack:
        port = _http_port(http_port, last[2])
        _note(data, stack, port)
        _end_vertices(data)  # that a killed owner left
        coordinator, gateway = _coordinator(settings, data, stack), _gateway(settings, data, stack, port)
        coordinator.start()
        try:
            if not uvloop.run(_is_up(stack, settings.workspace)):
                raise UnreachableError(
                    "the coordinator does not answer", code="coordinator.silent", hint=f"its log is {coordinator.log_path}"
                )
            gateway.start()
            gateway.wait_ready(_READY_TIMEOUT_S)
            _show(data, stack, port, say)
            if settings.metrics_port:
                say(f"metrics on http://{settings.metrics_host}:{settings.metrics_port}/metrics")
            stop.wait()
            say("stopping")
        finally:
            gateway.stop()
            coordinator.stop()
            _end_vertices(data)


async def _is_up(stack: EmbeddedStack, workspace: str) -> bool:
    client = await connect(stack.nats_url, "thalweg up", access=stack.access("client"))
    try:
        return await wait_for_coordinator(client, workspace, _READY_TIMEOUT_S)
    finally:
        await client.close()


def _coordinator(settings: Settings, data: Path, stack: EmbeddedStack) -> ManagedProcess:
    (data / "logs").mkdir(parents=True, exist_ok=True)
    env = {
        **child_environment(with_store=True, with_keys=True),
        **stack.environment(),
        "THALWEG_S3_BUCKET": settings.s3_bucket,
        "THALWEG_WORKSPACE": settings.workspace,
        "THALWEG_DATA": str(data),
        "THALWEG_LOG_MAX_AGE_S": str(settings.log_max_age_s),
        "THALWEG_LOG_MAX_BYTES": str(settings.log_max_bytes),
        "THALWEG_METRICS_PORT": str(settings.metrics_port),
        "THALWEG_METRICS_HOST": settings.metrics_host,
        "PYTHONSAFEPATH": "1",
    }
    command = [sys.executable, "-m", "thalweg_coordinator"]
    return ManagedProcess("coordinator", command, env, data / "logs" / "coordinator.log", pid_path=data / "coordinator.pid")


def _gateway(settings: Settings, data: Path, stack: EmbeddedStack, port: int) -> ManagedProcess:
    env = {
        **child_environment(with_store=False),
        **{name: value for name, value in stack.environment("gateway").items() if name.startswith("THALWEG_NATS_")},
        "THALWEG_WORKSPACE": settings.workspace,
        "PYTHONSAFEPATH": "1",
    }
    command = [sys.executable, "-m", "thalweg_gateway", "--host", HOST, "--port", str(port)]
    log_path = data / "logs" / "gateway.log"
    return ManagedProcess("gateway", command, env, log_path, pid_path=data / "gateway.pid", is_ready=lambda: speaks_http(port))


def _http_port(wanted: int | None, last: int) -> int:
    if wanted:
        if not is_free(wanted):  # else another server there would be taken for ours
            raise RejectedError(f"port {wanted} is in use", code="port.in_use", hint="choose another one, or 0 for any that is free")
        return wanted
    usual = (last, _if_free(HTTP_PORT)) if wanted is None else ()
    return next((port for port in usual if port), 0) or free_ports(1)[0]


def _end_vertices(data: Path) -> None:
    """Ends the vertices of the folder, side by side. They outlive a coordinator by design, but not their servers."""
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(end_leftover, [path for kind in ("vertices", "captures") for path in (data / kind).glob("*/*.json")]))


def _last_ports(data: Path) -> tuple[int, int, int]:
    """NATS, S3 and HTTP port of the last start; 0 for one that is taken now, or was none."""
    try:
        noted = json.loads((data / _PORTS).read_text())
        return _if_free(noted["nats"]), _if_free(noted["s3"]), _if_free(noted.get("http", 0))
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 0, 0


def _if_free(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the last owner may still be closing
        try:
            probe.bind((HOST, port))
        except OSError:
            return 0
    return port


def _note(data: Path, stack: EmbeddedStack, http_port: int) -> None:
    ports = {name: int(url.rpartition(":")[2]) for name, url in (("nats", stack.nats_url), ("s3", stack.s3_endpoint))}
    ports["http"] = http_port
    (data / _PORTS).write_text(json.dumps(ports) + "\n")
    keys = data / _KEYS
    keys.touch(mode=0o600)
    keys.write_text(f"export THALWEG_S3_ACCESS_KEY={stack.s3_access_key}\nexport THALWEG_S3_SECRET_KEY={stack.s3_secret_key}\n")


def _show(data: Path, stack: EmbeddedStack, http_port: int, say: Callable[[str], None]) -> None:
    say(f"gateway http://{HOST}:{http_port}, NATS {stack.nats_url}, file store {stack.s3_endpoint}, data in {data}")
    say("In another terminal, for other commands to use them:")
    for name, value in stack.environment("client").items():
        if name.startswith("THALWEG_NATS_"):
            say(f"  export {name}={shlex.quote(value)}")
    say(f"  export THALWEG_S3_ENDPOINT={stack.s3_endpoint}")
    say(f"  export THALWEG_HTTP_URL=http://{HOST}:{http_port}")
    say(f"  export THALWEG_DATA={shlex.quote(str(data))}")
    say(f"  . {shlex.quote(str(data / _KEYS))}")
    say("Ctrl-C stops everything; started again on this folder it goes on where it was.")
