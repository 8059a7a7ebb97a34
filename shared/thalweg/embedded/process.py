"""A child process that is started again when it dies, with a log file, a pid file and an ordered end."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from thalweg.embedded.leftovers import end_leftover, write_pid_file
from thalweg.errors import UnreachableError

_log = logging.getLogger(__name__)

_POLL_S = 0.02
_FIRST_BACKOFF_S, _MAX_BACKOFF_S = 0.1, 5.0
_STEADY_S = 10.0  # having lived that long, a process starts again at once
_DEATHS_BEFORE_READY = 3
_TAIL_BYTES = 2000

# Asks the kernel to end the child with its owner (1 is PR_SET_PDEATHSIG), then becomes the program. Not a preexec_fn, which is
# not safe in a process with threads. An owner that died in between has left the child to another parent.
_DIE_WITH_OWNER = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class ManagedProcess:
    """One supervised child process; made by `start`, ended by `stop`, both idempotent.

    A thread starts it, waits for its death and starts it again after a growing pause. The thread lives as long as the child
    because the kernel takes the end of the starting thread for the end of the owner.

    Args:
        name: for messages.
        argv: program with an absolute path, and arguments.
        env: the whole environment; None for this process's own.
        log_path: gets stdout and stderr, appended.
        restart: whether to start it again when it ends by itself.
        is_ready: says whether it can be used; None when that is as soon as it runs.
        pid_path: file that lets a later owner find what this one left; None for no such file.
        stop_timeout_s: from SIGTERM to SIGKILL.
        cwd: its working directory; None for this process's own.
        given: what each life reads on its standard input; None for nothing.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        log_path: Path | None = None,
        restart: bool = True,
        *,
        is_ready: Callable[[], bool] | None = None,
        pid_path: Path | None = None,
        stop_timeout_s: float = 10.0,
        cwd: Path | None = None,
        given: bytes | None = None,
    ) -> None:
        self.name, self.log_path = name, log_path
        self._argv, self._env, self._cwd = list(argv), dict(env) if env is not None else None, cwd
        self._restart, self._is_ready, self._given = restart, is_ready, given
        self._pid_path, self._stop_timeout_s = pid_path, stop_timeout_s
        self._stopping, self._ended = threading.Event(), threading.Event()
        self._changing = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._watcher: threading.Thread | None = None
        self._deaths = 0

    @property
    def pid(self) -> int | None:
        """Process id of the running child, or None between two lives and after the end."""
        child = self._child
        return child.pid if child is not None and child.returncode is None else None

    @property
    def death_count(self) -> int:
        """How many times it has ended without being asked to."""
        return self._deaths

    @property
    def returncode(self) -> int | None:
        """Exit code of the last life that ended, negative for a signal."""
        return self._child.returncode if self._child is not None else None

    def start(self) -> None:
        """Start the child, after ending what a killed owner left by the same pid file; does not wait until it is ready."""
        if self._watcher is not None:
            return
        if self._pid_path is not None and end_leftover(self._pid_path):
            _log.warning("%s: ended the process that a killed owner left", self.name)
        self._watcher = threading.Thread(target=self._watch, name=f"watch-{self.name}", daemon=True)
        self._watcher.start()

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until the child can be used.

        Raises:
            UnreachableError: it ended for good, died three times or was not ready in time (`process.not_ready`);
                the message has the last line of its log.
        """
        deadline = time.monotonic() + timeout_s
        while not self._ready_now():
            if self._ended.is_set():
                raise self._not_ready("ended")
            if self._deaths >= _DEATHS_BEFORE_READY:
                raise self._not_ready(f"died {self._deaths} times")
            if time.monotonic() > deadline:
                raise self._not_ready(f"was not ready in {timeout_s:g} s")
            self._ended.wait(_POLL_S)

    def wait_restarted(self, former_pid: int, timeout_s: float) -> None:
        """Wait until another life than that of `former_pid` can be used.

        Raises:
            UnreachableError: as `wait_ready`.
        """
        deadline = time.monotonic() + timeout_s
        while self.pid in (None, former_pid) and not self._ended.is_set() and time.monotonic() < deadline:
            self._ended.wait(_POLL_S)
        if self.pid == former_pid:
            raise self._not_ready(f"was not started again in {timeout_s:g} s")
        self.wait_ready(max(0.0, deadline - time.monotonic()))

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the end for good: of the only life without `restart`, else of `stop`; the exit code, or None in time-out."""
        return self.returncode if self._ended.wait(timeout_s) else None

    def stop(self) -> None:
        """End the child: SIGTERM, then SIGKILL when it does not heed it in time. Blocking; idempotent."""
        with self._changing:
            self._stopping.set()
            if self.pid is not None:
                self._signal(signal.SIGTERM)
        if self._watcher is None:
            return
        self._watcher.join(self._stop_timeout_s)
        if self._watcher.is_alive():
            _log.warning("%s: did not stop in %g s, killed", self.name, self._stop_timeout_s)
            self._signal(signal.SIGKILL)
            self._watcher.join()
        if self._pid_path is not None:
            self._pid_path.unlink(missing_ok=True)

    def _watch(self) -> None:
        backoff_s = _FIRST_BACKOFF_S
        try:
            while self._spawn():
                began = time.monotonic()
                code = self._child.wait() if self._child is not None else 0
                if self._stopping.is_set():
                    return
                self._deaths += 1
                _log.log(logging.WARNING if self._restart else logging.INFO, "%s: ended with %s", self.name, code)
                backoff_s = _FIRST_BACKOFF_S if time.monotonic() - began > _STEADY_S else min(backoff_s * 2, _MAX_BACKOFF_S)
                if not self._restart or self._stopping.wait(backoff_s):
                    return
        except OSError as error:
            _log.error("%s: cannot be started: %s", self.name, error)
        finally:
            self._ended.set()

    def _spawn(self) -> bool:
        """Start one life, unless the end was asked for; under a lock, so that `stop` sees every child."""
        with self._changing:
            if self._stopping.is_set():
                return False
            log = self.log_path.open("ab") if self.log_path is not None else None
            try:
                self._child = subprocess.Popen(
                    self._command(),
                    env=self._env,
                    cwd=self._cwd,
                    stdin=subprocess.DEVNULL if self._given is None else subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT if log is not None else None,
                    start_new_session=True,  # Ctrl-C in a terminal reaches the owner only, who stops children in order
                )
            finally:
                if log is not None:
                    log.close()
            if self._child.stdin is not None and self._given is not None:
                feed(self._child.stdin, self._given)
            if self._pid_path is not None:
                write_pid_file(self._pid_path, self._child.pid)
            return True

    def _command(self) -> list[str]:
        if not sys.platform.startswith("linux"):
            return self._argv
        return [sys.executable, "-I", "-S", "-c", _DIE_WITH_OWNER, str(os.getpid()), *self._argv]

    def _signal(self, number: int) -> None:
        child = self._child
        if child is not None:
            child.send_signal(number)

    def _ready_now(self) -> bool:
        return self.pid is not None and (self._is_ready is None or self._is_ready())

    def _not_ready(self, what: str) -> UnreachableError:
        tail = self.log_tail()
        last = f": {tail[-1]}" if tail else ""
        hint = f"its log is {self.log_path}" if self.log_path is not None else None
        return UnreachableError(f"{self.name} {what}{last}", code="process.not_ready", hint=hint, process=self.name)

    def log_tail(self) -> list[str]:
        """The last lines of the log."""
        try:
            data = self.log_path.read_bytes() if self.log_path is not None else b""
        except OSError:
            return []
        return data[-_TAIL_BYTES:].decode(errors="replace").splitlines()


def feed(pipe: IO[bytes], data: bytes) -> None:
    """Writes to a child's standard input and closes it, on a thread: a pipe holds 64 KiB, and the child may be slow, or gone."""

    def write() -> None:
        with suppress(OSError), pipe:
            pipe.write(data)

    threading.Thread(target=write, name="feed", daemon=True).start()
