"""The process launcher: starts vertices as processes that outlive the coordinator, and finds them again by their pid files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil


class ProcessLauncher:
    """Vertices of one workspace on this machine.

    Args:
        folder: holds pid files, as `<deployment>/<vertex>.json`.
        logs: holds the vertices' output, as `<deployment>/<vertex>.log`.
    """

    def __init__(self, folder: Path, logs: Path) -> None:
        self._folder, self._logs = folder, logs
        self._children: dict[tuple[str, str], subprocess.Popen[bytes]] = {}

    def start(self, deployment: str, vertex: str) -> None:
        """Starts a vertex's process."""
        log = self.log_path(deployment, vertex)
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "thalweg_vertex", "--deployment", deployment, "--vertex", vertex]
        with log.open("ab") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, "PYTHONSAFEPATH": "1"},
            )
        self._children[deployment, vertex] = child
        path = self._pid_path(deployment, vertex)
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".new")
        scratch.write_text(json.dumps({"pid": child.pid, "create_time": psutil.Process(child.pid).create_time()}))
        scratch.replace(path)

    def exit_code(self, deployment: str, vertex: str) -> int | None:
        """None while the vertex runs; its exit code, or -9 where another coordinator started it and it is gone."""
        child = self._children.get((deployment, vertex))
        if child is not None:
            return child.poll()
        return None if self._process(deployment, vertex) is not None else -signal.SIGKILL

    def knows(self, deployment: str, vertex: str) -> bool:
        """Whether the vertex was ever started here."""
        return self._pid_path(deployment, vertex).exists()

    def stop(self, deployment: str) -> None:
        """Ends every vertex of a deployment and forgets them."""
        folder = self._folder / deployment
        processes = [one for path in folder.glob("*.json") if (one := self._process(deployment, path.stem)) is not None]
        for process in processes:
            process.terminate()
        for process in psutil.wait_procs(processes, timeout=3)[1]:
            process.kill()
        for key in [key for key in self._children if key[0] == deployment]:
            self._children.pop(key).wait(timeout=5)
        for path in folder.glob("*.json"):
            path.unlink(missing_ok=True)
        if folder.exists():
            folder.rmdir()

    def deployments(self) -> list[str]:
        """Deployments that vertices were started for."""
        return sorted(path.name for path in self._folder.iterdir() if path.is_dir()) if self._folder.exists() else []

    def log_path(self, deployment: str, vertex: str) -> Path:
        """Where a vertex's output goes."""
        return self._logs / deployment / f"{vertex}.log"

    def _pid_path(self, deployment: str, vertex: str) -> Path:
        return self._folder / deployment / f"{vertex}.json"

    def _process(self, deployment: str, vertex: str) -> psutil.Process | None:
        try:
            noted = json.loads(self._pid_path(deployment, vertex).read_text())
            process = psutil.Process(noted["pid"])
            alive = abs(process.create_time() - noted["create_time"]) < 0.01 and process.status() != psutil.STATUS_ZOMBIE
            return process if alive else None
        except (OSError, ValueError, KeyError, psutil.Error):
            return None
