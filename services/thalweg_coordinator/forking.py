"""Starts processes of services, each forked from a server that has imported the service already."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from threading import Lock
from typing import IO
from weakref import finalize

import psutil

from thalweg.embedded.process import feed
from thalweg.errors import UnreachableError
from thalweg_coordinator.fork_server import Changes, Request

CAN_FORK = hasattr(os, "pidfd_open")  # Linux
_TIMEOUT_S = 60.0
_POLL_S = 0.01
_BLANKS = " " * 512  # make room for the arguments of what is forked
_LONGEST_ANSWER = 1024


class Forked:
    """A process that was forked, as `subprocess.Popen` would have it.

    Attributes:
        pid: of the process.
        returncode: its exit code, negative for the signal that killed it, as far as it is known.
    """

    def __init__(self, forks: Forks, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._forks = forks
        self._process: psutil.Process | None = None
        with suppress(psutil.Error):  # it has ended already
            self._process = psutil.Process(pid)

    def poll(self) -> int | None:
        """Its exit code, -9 where it ended after its server; None while it runs. Does not block."""
        is_told_of = self._forks.hear(self.pid)
        if self.returncode is None and not is_told_of and not self._is_running():
            self.returncode = -signal.SIGKILL
        return self.returncode

    def kill(self) -> None:
        """Kills it; nothing where it has ended."""
        with suppress(psutil.Error):
            if self._process is not None:
                self._process.kill()

    def wait(self, timeout: float) -> int:
        """Waits for its end: its exit code. Raises subprocess.TimeoutExpired."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(_POLL_S)
        return code

    def _is_running(self) -> bool:
        return self._process is not None and self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE


class Forks:
    """Forks processes. Their server starts when it is first needed, and anew when it has died; it ends with this object.

    Args:
        environment: of the server; whoever may look at a process's environment sees this one in all that it forks.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._asking = Lock()
        self._link: socket.socket | None = None
        self._end: finalize[..., Forks] | None = None
        self._running = dict[int, Forked]()  # of the server that runs now

    def start(
        self, module: str, words: Sequence[str], environment: Mapping[str, str], stdin: int, output: int, imports: Sequence[str] = ()
    ) -> Forked:
        """Forks a process, in a session of its own. Blocking: some ms, and the first time as long as it takes to import the service.

        Args:
            module: the service, a package whose `__main__` has a `main`.
            words: its arguments.
            environment: the whole of it.
            stdin: open file.
            output: open file for standard output and standard error.
            imports: modules that it will need, to be imported once for all.

        Raises:
            UnreachableError: the server has died, or does not answer (`launcher.unreachable`).
        """
        given = {name: value for name, value in environment.items() if self._environment.get(name) != value}
        removed = [name for name in self._environment if name not in environment]
        request = Request(module=module, imports=list(imports), words=list(words))
        with self._asking, reading(json.dumps(Changes(given=given, removed=removed)).encode()) as changes:
            try:
                link = self._link or self._serve()
                link.settimeout(_TIMEOUT_S)
                socket.send_fds(link, [json.dumps(request).encode()], [stdin, output, changes.fileno()])
                while (pid := self._take(link, _TIMEOUT_S)) is None:
                    pass
            except OSError as error:
                self._lose()
                raise UnreachableError(f"{module} cannot be forked: {error}", code="launcher.unreachable") from error
            self._running[pid] = Forked(self, pid)
            return self._running[pid]

    def hear(self, pid: int) -> bool:
        """Takes what the server has told since; whether it would tell of the end of that process. Does not block."""
        if self._asking.acquire(blocking=False):
            try:
                while self._link is not None and self._take(self._link, 0) is None:
                    pass
            except BlockingIOError:
                pass
            except OSError:
                self._lose()
            finally:
                self._asking.release()
        return pid in self._running

    def _serve(self) -> socket.socket:
        self._link, others = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "thalweg_coordinator.fork_server", str(others.fileno()), _BLANKS]
        with others:
            streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
            server = subprocess.Popen(command, env=self._environment, pass_fds=[others.fileno()], start_new_session=True, **streams)  # type: ignore[call-overload]
        self._end = finalize(self, _end, self._link, server)
        return self._link

    def _take(self, link: socket.socket, timeout_s: float) -> int | None:
        """One message of the server: None, where it tells that a process has ended, else the number of a new one."""
        link.settimeout(timeout_s)
        message = link.recv(_LONGEST_ANSWER)
        if not message:
            raise ConnectionResetError("the server has died")
        told = json.loads(message)
        if "code" not in told:
            return int(told["pid"])
        if (ended := self._running.pop(told["pid"], None)) is not None:
            ended.returncode = told["code"]
        return None

    def _lose(self) -> None:
        if self._end is not None:
            self._end()
        self._link = self._end = None
        self._running.clear()


@contextmanager
def reading(given: bytes) -> Iterator[IO[bytes]]:
    """What a process reads `given` from, to the end; fed by a thread, as a pipe holds 64 KiB, and the process may be slow, or gone."""
    reader, writer = os.pipe()
    feed(os.fdopen(writer, "wb"), given)
    with os.fdopen(reader, "rb") as stream:
        yield stream


def _end(link: socket.socket, server: subprocess.Popen[bytes]) -> None:
    link.close()
    try:
        server.wait(_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
