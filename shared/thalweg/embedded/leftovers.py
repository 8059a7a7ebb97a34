"""What a killed owner of a data folder left behind: its lock, which the kernel drops, its child processes, which are ended here."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from thalweg.errors import RejectedError, UsageError

_SAME_START_S = 1.0  # a process id in use again belongs to a process that started at another time
_END_TIMEOUT_S = 5.0


@contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Within the block, an error of the operating system is one of the data folder (`data.unusable`)."""
    try:
        yield
    except OSError as error:
        hint = "THALWEG_DATA=… names another folder"
        raise UsageError(f"data folder {folder}: {error.strerror}", code="data.unusable", hint=hint) from error


class FolderLock:
    """An exclusive lock on a data folder, held until `release` or the end of this process."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._descriptor = folder, -1

    def acquire(self) -> None:
        """Take the lock, or say who has it.

        Raises:
            RejectedError: another process, or another lock of this one, has it (`data.in_use`).
        """
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise RejectedError(
                f"{self._folder} is in use by process {owner}",
                code="data.in_use",
                hint="set THALWEG_DATA=… to another folder, use its servers (THALWEG_NATS_URL, THALWEG_S3_ENDPOINT), or stop it",
                pid=owner,
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Drop the lock; idempotent. The file stays: removing it would let two owners lock two files of one name."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def write_pid_file(path: Path, pid: int, **facts: int) -> None:
    """Remember a child process in a way that outlives this one, with some facts of it."""
    try:
        started = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"pid": pid, "create_time": started, **facts}))
    partial.replace(path)


def end_leftover(path: Path) -> bool:
    """End the process that a pid file names, if it is still that one; removes the file. Blocking, up to two times 5 s.

    Returns:
        Whether there was such a process.
    """
    return end_leftovers([path]) > 0


def end_leftovers(paths: Iterable[Path], timeout_s: float = _END_TIMEOUT_S) -> int:
    """End the processes that pid files name, side by side, and remove the files. Blocking, up to two times `timeout_s`.

    Returns:
        How many there were.
    """
    paths = list(paths)
    processes = [process for path in paths if (process := process_of(path)) is not None]
    left = processes
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in left:
            with suppress(psutil.Error):
                end(process)
        left = psutil.wait_procs(left, timeout_s)[1]
    for path in paths:
        path.unlink(missing_ok=True)
    return len(processes)


def fact_of(path: Path, name: str, default: int) -> int:
    """A fact that `write_pid_file` has noted."""
    try:
        return int(json.loads(path.read_text()).get(name, default))
    except (OSError, ValueError, TypeError, AttributeError):
        return default


def process_of(path: Path) -> psutil.Process | None:
    """The process that a pid file names, None when it has ended."""
    try:
        noted = json.loads(path.read_text())
        process = psutil.Process(noted["pid"])
        is_it = abs(process.create_time() - noted["create_time"]) < _SAME_START_S
        return process if is_it and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None
