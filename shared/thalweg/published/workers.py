"""Processes that run the code of published releases for checks: one a release, few at once, each call with a time limit."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import tempfile
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from thalweg.errors import RejectedError
from thalweg.published.archive import Sources
from thalweg.published.environment import Environments, end_group, plain_environment
from thalweg.published.requirements import read_requirements

CALL_TIMEOUT_S = 20.0
MAX_WORKERS = 8
_MAX_REPLY_BYTES = 4 << 20


class Workers:
    """Workers by archive; threads may share them. Every call blocks.

    Args:
        sources: where archives are unpacked.
        environments: what releases with requirements run in.
        timeout_s: of a call, importing the code included; a worker that is slower is killed.
        limit: how many there are at most; the one that was idle for longest makes room.
    """

    def __init__(self, sources: Sources, environments: Environments, timeout_s: float = CALL_TIMEOUT_S, limit: int = MAX_WORKERS) -> None:
        self._sources, self._environments = sources, environments
        self._timeout_s, self._limit = timeout_s, limit
        self._lock = threading.Lock()
        self._workers: OrderedDict[str, _Worker] = OrderedDict()

    def ask(self, archive: str, do: str, **arguments: Any) -> Any:
        """One request to the worker of an archive.

        Raises:
            RejectedError: what the code refuses or raises; `release.timed_out`, `release.crashed`, when it does not answer.
        """
        worker = self._worker(archive)
        try:
            return worker.ask({"do": do, **arguments}, self._timeout_s)
        except _GoneError as error:
            with self._lock:
                if self._workers.get(archive) is worker:
                    del self._workers[archive]
            raise error.told from None

    def close(self) -> None:
        """Ends all workers, in the middle of a call, too; those of later calls are started anew."""
        with self._lock:
            workers, self._workers = list(self._workers.values()), OrderedDict()
        for worker in workers:
            worker.interrupt()
            worker.end()

    def _worker(self, archive: str) -> _Worker:
        with self._lock:
            if archive in self._workers:
                self._workers.move_to_end(archive)
                return self._workers[archive]
        folder = self._sources.folder_of(archive)
        python = self._environments.python_for(read_requirements(folder))
        with self._lock:
            if archive not in self._workers:
                self._workers[archive] = _Worker(python, folder)
            self._workers.move_to_end(archive)
            found = self._workers[archive]
            surplus = [self._workers.popitem(last=False)[1] for _ in range(len(self._workers) - self._limit)]
        for worker in surplus:
            worker.end()
        return found


class _GoneError(Exception):
    def __init__(self, told: RejectedError) -> None:
        super().__init__(str(told))
        self.told = told


class _Worker:
    """One process, which is started by the first request."""

    def __init__(self, python: str, folder: Path) -> None:
        self._command = [python, "-m", "thalweg.published.worker", str(folder)]
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._home: tempfile.TemporaryDirectory[str] | None = None
        self._said: IO[bytes] | None = None

    def ask(self, request: dict[str, Any], timeout_s: float) -> Any:
        with self._lock:
            process = self._process or self._start()
            try:
                line = self._exchange(process, json.dumps(request).encode() + b"\n", time.monotonic() + timeout_s)
                reply = json.loads(line)
                error = reply.get("error")
                if error is None:
                    return reply["ok"]
                raise RejectedError(str(error["message"])[:4000], code=str(error["code"]), hint=error["hint"])
            except TimeoutError:
                raise self._gone(f"its code does not answer within {timeout_s:g} s", "release.timed_out") from None
            except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError):
                raise self._gone("its code ends the process", "release.crashed") from None

    def interrupt(self) -> None:
        """Kills the process; the call in hand fails."""
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Waits for the call in hand."""
        with self._lock:
            self._stop()

    def _start(self) -> subprocess.Popen[bytes]:
        self._home = tempfile.TemporaryDirectory(prefix="thalweg-worker-")
        self._said = cast(IO[bytes], tempfile.TemporaryFile())  # noqa: SIM115
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            cwd=self._home.name,
            start_new_session=True,
            env={**plain_environment(), "HOME": self._home.name},
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        os.set_blocking(self._process.stdout.fileno(), False)
        return self._process

    def _stop(self) -> None:
        if self._process is not None:
            end_group(self._process)
            for stream in (self._process.stdin, self._process.stdout, self._said):
                if stream is not None:
                    _close(stream)
            self._process = None
        if self._home is not None:
            self._home.cleanup()
            self._home = None

    def _gone(self, what: str, code: str) -> _GoneError:
        tail: list[str] = []
        if self._said is not None:
            size = self._said.seek(0, os.SEEK_END)
            self._said.seek(max(0, size - 2000))
            tail = [f"  {line[:200]}" for line in self._said.read().decode(errors="replace").splitlines() if line.strip()][-4:]
        self._stop()
        return _GoneError(RejectedError("\n".join([f"the release cannot be checked: {what}", *tail]), code=code))

    def _exchange(self, process: subprocess.Popen[bytes], request: bytes, end: float) -> bytes:
        assert process.stdin is not None and process.stdout is not None
        into, out, found = process.stdin.fileno(), process.stdout.fileno(), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(into, selectors.EVENT_WRITE)
            selector.register(out, selectors.EVENT_READ)
            while not found.endswith(b"\n"):
                ready = selector.select(max(0.0, end - time.monotonic()))
                if not ready or time.monotonic() > end:
                    raise TimeoutError
                for key, _ in ready:
                    if key.fd == into:
                        request = request[os.write(into, request[:65536]) :]
                        if not request:
                            selector.unregister(into)
                    else:
                        block = os.read(out, 65536)
                        if not block or len(found) > _MAX_REPLY_BYTES:
                            raise EOFError
                        found += block
        return bytes(found)


def _close(stream: IO[bytes]) -> None:
    try:
        stream.close()
    except OSError:  # what was still to be sent to a process that is gone
        return
