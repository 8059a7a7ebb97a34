"""Environments that releases with requirements of their own run in: one venv for each set of requirements on this machine."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import site
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from thalweg.errors import RejectedError

BUILD_TIMEOUT_S = 300.0
_TAIL_LINES, _LINE_LENGTH = 6, 300
_READY = "ready.stamp"
_PLAIN = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ")


class Environments:
    """Makes an environment where there is none yet; processes may share the folder.

    Args:
        folder: holds the environments.
        timeout_s: how long a build may take, waiting for another one's included.
    """

    def __init__(self, folder: Path, timeout_s: float = BUILD_TIMEOUT_S) -> None:
        self._folder, self._timeout_s = folder.absolute(), timeout_s

    def python_for(self, requirements: list[str]) -> str:
        """The interpreter to run a release with: this process's own, where it has no requirements. Blocking, up to the timeout.

        The environment sees what the running interpreter sees; what the requirements name goes first.

        Raises:
            RejectedError: `release.environment`, with the last lines that pip said.
        """
        if not requirements:
            return sys.executable
        folder = self._folder / environment_key(requirements)
        python = folder / "bin" / "python"
        if not (folder / _READY).exists():
            end = time.monotonic() + self._timeout_s
            with _locked(folder, end) as lock:
                if not (folder / _READY).exists():
                    try:
                        _build(folder, python, requirements, end, lock)
                    except RejectedError:
                        shutil.rmtree(folder, ignore_errors=True)
                        raise
        return str(python)


def environment_key(requirements: list[str]) -> str:
    """Name of the environment of these requirements under the running interpreter."""
    parts = [sys.version, sys.prefix, sysconfig.get_platform(), *requirements]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def plain_environment() -> dict[str, str]:
    """The variables that code of a release gets outside of a vertex: none that could hold a secret."""
    kept = {name: os.environ[name] for name in _PLAIN if name in os.environ}
    return {**kept, "PYTHONSAFEPATH": "1", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kills a process that leads a group, with all that it has started, waits for it, and reads no more of what it says."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _build(folder: Path, python: Path, requirements: list[str], end: float, lock: IO[bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _call([sys.executable, "-m", "venv", "--without-pip", str(folder)], end, lock)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    # Not `--system-site-packages`: those are of the interpreter below this one, when this one is a venv itself.
    seen = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()])
    lines = [f"import site; site.addsitedir({path!r})" for path in seen]
    (packages / "thalweg-parent.pth").write_text("\n".join(lines) + "\n")
    wanted = folder / "requirements.txt"
    wanted.write_text("\n".join(requirements) + "\n")
    hashes = ["--require-hashes"] if any("--hash=" in line for line in requirements) else []
    options = ["--no-input", "--disable-pip-version-check", "--no-warn-script-location", "--progress-bar=off"]
    _call([sys.executable, "-m", "pip", "--python", str(python), "install", *options, *hashes, "-r", str(wanted)], end, lock)
    _call([str(python), "-c", "import thalweg.published.worker"], end, lock)
    (folder / _READY).touch()


def _call(command: list[str], end: float, lock: IO[bytes]) -> None:
    # The lock goes along: a killed builder's pip holds it until it has ended, too.
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=(lock.fileno(),),
        env={name: value for name, value in os.environ.items() if not name.startswith(("THALWEG_", "AWS_"))},
    )
    try:
        said, _ = process.communicate(timeout=max(0.1, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise _failed("it takes too long", "") from None
    finally:
        end_group(process)
    if process.returncode != 0:
        raise _failed("pip fails" if "pip" in command else "it does not run Thalweg", said.decode(errors="replace"))


def _failed(what: str, said: str) -> RejectedError:
    tail = [f"  {line[:_LINE_LENGTH]}" for line in said.splitlines() if line.strip()][-_TAIL_LINES:]
    return RejectedError("\n".join([f"the environment of the release cannot be made: {what}", *tail]), code="release.environment")


@contextmanager
def _locked(folder: Path, end: float) -> Iterator[IO[bytes]]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("wb") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise _failed("another process is making it for too long", "") from None
                time.sleep(0.1)
        yield lock
