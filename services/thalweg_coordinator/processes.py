"""The process launcher: starts vertices as processes that outlive the coordinator, and finds them again by their pid files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from thalweg.embedded.leftovers import end_leftovers, fact_of, process_of, write_pid_file
from thalweg.settings import child_environment
from thalweg_coordinator.forking import CAN_FORK, Forked, Forks, reading
from thalweg_coordinator.launching import Start
from thalweg_coordinator.restarts import Restarts
from thalweg_coordinator.statuses import Usage

STOP_TIMEOUT_S = 3.0
_TAIL_BYTES, _TAIL_LINES, _LINE_LENGTH = 4096, 5, 200
# A fixed hash seed: components that iterate over a set of strings give the same order in every run.
_PYTHON = {"PYTHONSAFEPATH": "1", "PYTHONHASHSEED": "0"}
_OF_STORE = ("thalweg.artifacts.s3_model",)


def own_forks() -> Forks:
    """Forks processes of this one's environment, but for keys."""
    return Forks({**child_environment(with_store=False), **_PYTHON})


class ProcessLauncher:
    """Vertices of one workspace on this machine.

    Args:
        folder: holds pid files, as `<deployment>/<vertex>.json`.
        logs: holds the vertices' output, as `<deployment>/<vertex>.log`.
        scratch: holds what vertices keep beside the log, as `<deployment>/<vertex>`.
        forks: forks them, where that is possible.
        module: what is started.
    """

    is_kept = False

    def __init__(self, folder: Path, logs: Path, scratch: Path, forks: Forks, module: str = "thalweg_vertex") -> None:
        self._folder, self._logs, self._scratch, self._forks, self._module = folder, logs, scratch, forks, module
        self._children: dict[tuple[str, str], subprocess.Popen[bytes] | Forked] = {}

    def observe(self) -> None:
        """Nothing: what runs here is looked at when it is asked for."""

    def start(self, what: Start) -> None:
        """Starts a vertex's process. Secrets and credentials go by a pipe: neither arguments, environment nor disk ever hold them."""
        deployment, vertex = what.deployment, what.vertex
        log, path = self._logs / deployment / f"{vertex}.log", self._pid_path(deployment, vertex)
        for folder in (log.parent, path.parent):
            folder.mkdir(parents=True, exist_ok=True)
        environment = {**child_environment(with_store=what.with_store, with_access=what.access is None), **_PYTHON}
        with log.open("ab") as output, reading(what.handed_over()) as stdin:
            child = self._begin(what, environment, stdin.fileno(), output.fileno())
        self._children[deployment, vertex] = child
        write_pid_file(path, child.pid, generation=what.generation, drains=int(what.drains))

    def _begin(self, what: Start, environment: dict[str, str], stdin: int, output: int) -> subprocess.Popen[bytes] | Forked:
        if CAN_FORK:
            return self._forks.start(self._module, what.words(), environment, stdin, output, _OF_STORE if what.with_store else ())
        command = [sys.executable, "-m", self._module, *what.words()]
        return subprocess.Popen(command, env=environment, stdin=stdin, stdout=output, stderr=output, start_new_session=True)

    def exit_code(self, deployment: str, vertex: str) -> int | None:
        """None while the vertex runs; its exit code, or -9 where another coordinator started it and it is gone."""
        child = self._children.get((deployment, vertex))
        if child is not None:
            return child.poll()
        return None if process_of(self._pid_path(deployment, vertex)) is not None else -signal.SIGKILL

    def restarts(self, deployment: str, vertex: str) -> Restarts | None:
        """None: nothing but the coordinator starts it again."""
        return None

    def knows(self, deployment: str, vertex: str) -> bool:
        """Whether the vertex was ever started here."""
        return (deployment, vertex) in self._children or self._pid_path(deployment, vertex).exists()

    def generation(self, deployment: str, vertex: str) -> int:
        """What a known vertex was started as."""
        return fact_of(self._pid_path(deployment, vertex), "generation", 1)

    def drains(self, deployment: str, vertex: str) -> bool:
        """Whether a known vertex was started to drain: it ends by itself, and would die of a signal that comes too early."""
        return fact_of(self._pid_path(deployment, vertex), "drains", 0) == 1

    def signal(self, deployment: str, vertex: str, number: int) -> int | None:
        """Sends a signal to a vertex that runs; its process id, None where it does not run."""
        process = process_of(self._pid_path(deployment, vertex))
        if process is None:
            return None
        with suppress(psutil.Error):
            process.send_signal(number)
        return process.pid

    def usage(self, deployment: str) -> dict[str, Usage]:
        """What the processes of a deployment use, by vertex, of those that run on this machine."""
        found: dict[str, Usage] = {}
        for path in self._pid_files(deployment):
            process = process_of(path)
            with suppress(psutil.Error):
                if process is not None:
                    times = process.cpu_times()
                    found[path.stem] = Usage(process.memory_info().rss, times.user + times.system)
        return found

    def forget(self, deployment: str, vertex: str) -> None:
        """Forgets a vertex that has ended."""
        self._children.pop((deployment, vertex), None)
        self._pid_path(deployment, vertex).unlink(missing_ok=True)

    def vertices(self, deployment: str) -> list[str]:
        """Vertices of a deployment that were started here."""
        noted = {path.stem for path in self._pid_files(deployment)}
        return sorted(noted | {vertex for name, vertex in self._children if name == deployment})

    def stop(self, deployment: str) -> None:
        """Ends every vertex of a deployment and forgets them. Blocking, up to two times `STOP_TIMEOUT_S`; idempotent."""
        end_leftovers(self._pid_files(deployment), STOP_TIMEOUT_S)
        for key in [key for key in self._children if key[0] == deployment]:
            child = self._children.pop(key)
            child.kill()  # one without a pid file; does nothing to one that has ended
            with suppress(subprocess.TimeoutExpired):
                child.wait(timeout=STOP_TIMEOUT_S)
        shutil.rmtree(self._folder / deployment, ignore_errors=True)

    def deployments(self) -> list[str]:
        """Deployments that vertices were started for."""
        return sorted(path.name for path in self._folder.iterdir() if path.is_dir()) if self._folder.exists() else []

    def log_tail(self, deployment: str, vertex: str) -> list[str]:
        """The last lines of a vertex's output."""
        try:
            with (self._logs / deployment / f"{vertex}.log").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return []
        return [line[:_LINE_LENGTH] for line in lines if line.strip()][-_TAIL_LINES:]

    def clear(self, deployment: str, vertex: str | None = None) -> None:
        """Removes scratch files."""
        folder = self._scratch / deployment
        shutil.rmtree(folder / vertex if vertex is not None else folder, ignore_errors=True)

    def _pid_files(self, deployment: str) -> list[Path]:
        try:
            return list((self._folder / deployment).glob("*.json"))
        except FileNotFoundError:  # it is being stopped by another thread
            return []

    def _pid_path(self, deployment: str, vertex: str) -> Path:
        return self._folder / deployment / f"{vertex}.json"
