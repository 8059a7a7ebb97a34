"""The embedded stack: nats-server and S3 over one data folder, owned by one process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from thalweg.embedded.leftovers import FolderLock, usable
from thalweg.embedded.process import ManagedProcess
from thalweg.embedded.servers import HOST, StoreKeys, free_ports, is_free, load_or_make_keys, nats_process, s3_process
from thalweg.errors import RejectedError, UnreachableError

_READY_TIMEOUT_S = 30.0
_TRIES = 3  # a free port may be taken by others before our server listens on it


class EmbeddedStack:
    """nats-server and an S3 server on the loopback address, started again when they die, on the same ports and data.

    Blocking: call `start` and `stop` in a thread from asynchronous code. What is in `data_dir` stays when the stack stops, and
    a later stack on it goes on from there. Constructing does no I/O; `with` starts and stops it.

    Args:
        data_dir: made when needed; one owner at a time.
        nats_port: 0 for any that is free; chosen anew at every start.
        s3_port: likewise.
    """

    def __init__(self, data_dir: Path, nats_port: int = 0, s3_port: int = 0) -> None:
        self._data_dir = data_dir.absolute()
        self._wanted = (nats_port, s3_port)
        self._ports = (0, 0)
        self._keys = StoreKeys("", "")
        self._lock = FolderLock(self._data_dir)
        self._processes: list[ManagedProcess] = []

    @property
    def data_dir(self) -> Path:
        """Folder of everything that the servers keep."""
        return self._data_dir

    @property
    def nats_url(self) -> str:
        """URL of the NATS server; meaningful from `start` to `stop`."""
        return f"nats://{HOST}:{self._ports[0]}"

    @property
    def s3_endpoint(self) -> str:
        """URL of the S3 server; meaningful from `start` to `stop`."""
        return f"http://{HOST}:{self._ports[1]}"

    @property
    def s3_access_key(self) -> str:
        """Key id for the S3 server."""
        return self._keys.access_key

    @property
    def s3_secret_key(self) -> str:
        """Secret for the S3 server."""
        return self._keys.secret_key

    @property
    def processes(self) -> tuple[ManagedProcess, ...]:
        """The running servers: nats-server, s3."""
        return tuple(self._processes)

    def environment(self) -> dict[str, str]:
        """The `THALWEG_*` variables that let another process use this stack; they hold the secret key."""
        return {
            "THALWEG_NATS_URL": self.nats_url,
            "THALWEG_REPLICAS": "1",
            "THALWEG_S3_ENDPOINT": self.s3_endpoint,
            "THALWEG_S3_ACCESS_KEY": self.s3_access_key,
            "THALWEG_S3_SECRET_KEY": self.s3_secret_key,
        }

    def start(self) -> None:
        """Start both servers and wait until they can be used; idempotent while it runs.

        First ends what a killed owner of the folder left running.

        Raises:
            RejectedError: the folder has another owner (`data.in_use`), a port that was asked for is taken (`port.in_use`), or a
                server's program is missing (`embedded.no_program`).
            UnreachableError: a server does not become ready (`process.not_ready`); nothing is left running.
            UsageError: the folder cannot be made or written (`data.unusable`).
        """
        if self._processes:
            return
        with usable(self._data_dir):
            self._data_dir.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        try:
            self._keys = load_or_make_keys(self._data_dir / "s3-keys.json")
            self._start_servers()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the S3 server, then nats-server, then give the folder free; idempotent, never raises for servers that are gone."""
        while self._processes:
            self._processes[-1].stop()
            self._processes.pop()
        self._lock.release()

    def _start_servers(self) -> None:
        for port in filter(None, self._wanted):
            if not is_free(port):  # else another server there would be taken for ours
                raise RejectedError(f"port {port} is in use", code="port.in_use", hint="choose another one, or none for any that is free")
        tries = _TRIES if 0 in self._wanted else 1
        for attempt in range(1, tries + 1):
            spare = free_ports(2)
            self._ports = (self._wanted[0] or spare[0], self._wanted[1] or spare[1])
            self._processes = [nats_process(self._data_dir, self._ports[0]), s3_process(self._data_dir, self._ports[1], self._keys)]
            try:
                return self._launch()
            except UnreachableError:
                if attempt == tries:
                    raise
                for process in reversed(self._processes):
                    process.stop()

    def _launch(self) -> None:
        """Start all, side by side; ending what was left behind takes time for each too."""
        with ThreadPoolExecutor(len(self._processes)) as pool:
            list(pool.map(_bring_up, self._processes))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def _bring_up(process: ManagedProcess) -> None:
    process.start()
    process.wait_ready(_READY_TIMEOUT_S)
