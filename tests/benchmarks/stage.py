"""Runs bare chains and pipelines of the product as child processes on the same servers."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from thalweg.embedded import EmbeddedStack
from thalweg.settings import Settings

HERE = Path(__file__).parent
DEADLINE_S = 900.0


@dataclass(frozen=True)
class Stage:
    """Where benchmarks run.

    Attributes:
        stack: the servers; all chains use the same nats-server.
        folder: for what is measured and made.
        rounds: how often each chain runs.
        csv_mb: size of the larger table.
    """

    stack: EmbeddedStack
    folder: Path
    rounds: int
    csv_mb: int

    @property
    def environment(self) -> dict[str, str]:
        """Of every child process."""
        return {**os.environ, **self.stack.environment(), "THALWEG_DATA": str(self.folder / "data"), "PYTHONPATH": str(HERE.parent)}

    @property
    def settings(self) -> Settings:
        """Of a client of the servers."""
        stack = self.stack
        return Settings(
            nats_url=stack.nats_url,
            s3_endpoint=stack.s3_endpoint,
            s3_access_key=stack.s3_access_key,
            s3_secret_key=stack.s3_secret_key,
            data=self.folder / "data",
        )

    @contextmanager
    def service(self, *words: str) -> Iterator[psutil.Process]:
        """A process of Python over the components of `parts.py`, ended with the block."""
        environment = {**self.environment, "THALWEG_COMPONENTS": str(HERE / "parts.py")}
        with (self.folder / "services.log").open("ab") as log:
            started = subprocess.Popen([sys.executable, *words], env=environment, stdout=log, stderr=log)
        try:
            yield psutil.Process(started.pid)
        finally:
            started.terminate()
            started.wait()

    def cpu_s(self) -> float:
        """CPU time so far of the servers, and of all child processes that have ended, with theirs."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        servers = [psutil.Process(one.pid).cpu_times() for one in self.stack.processes]
        return ended.ru_utime + ended.ru_stime + sum(one.user + one.system for one in servers)

    def bare(self, script: str, *arguments: object) -> str:
        """Runs a script of this folder to its end; what it printed."""
        command = [sys.executable, str(HERE / script), self.stack.nats_url, *map(str, arguments)]
        return _output(subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False))

    def start(self, pipeline: dict[str, Any], capture: str = "none") -> subprocess.Popen[str]:
        """Starts `thalweg run` on a pipeline over the components of `parts.py`."""
        path = self.folder / f"{pipeline['backend']}.yaml"
        path.write_text(yaml.safe_dump(pipeline))
        command = [sys.executable, "-m", "thalweg_cli", "run", str(path), "--components", str(HERE / "parts.py")]
        command += ["--out", str(self.folder / "out"), "--capture", capture, "--json"]
        return subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def vertices(self) -> Iterator[tuple[str, psutil.Process]]:
        """The vertex processes of the run that goes on, by name."""
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
                if "thalweg_vertex" in words and process.environ().get("THALWEG_DATA") == str(self.folder / "data"):
                    yield words[-1], process
            except psutil.Error:
                continue

    def run(self, pipeline: dict[str, Any], capture: str = "none") -> dict[str, Any]:
        """Runs a pipeline to its end; its summary."""
        process = self.start(pipeline, capture)
        out, errors = process.communicate(timeout=DEADLINE_S)
        found: dict[str, Any] = json.loads(_output(subprocess.CompletedProcess(process.args, process.returncode, out, errors)))
        return found

    def measured(self, pipeline: dict[str, Any], capture: str = "none") -> Any:
        """Runs a pipeline whose vertex `sink` writes what it measures to its param `path`; what it wrote."""
        path = self.folder / f"{pipeline['backend']}.json"
        pipeline["vertices"]["sink"]["params"] = {"path": str(path)}
        self.run(pipeline, capture)
        return json.loads(path.read_text())


def figure(what: str, value: float, unit: str = "", goal: str = "", digits: int = 0) -> dict[str, object]:
    """One line of the table."""
    return {"what": what, "value": round(value, digits) if digits else round(value), "unit": unit, "goal": goal}


def compared(what: str, ours: list[float], theirs: list[float], goal: str) -> dict[str, object]:
    """The median of ratios of runs next to each other, with the lowest and the highest."""
    ratios = sorted(mine / other for mine, other in zip(ours, theirs, strict=True))
    middle = statistics.median(ratios)
    return {
        "what": what,
        "value": round(middle, 2),
        "unit": "x",
        "goal": goal,
        "lowest": round(ratios[0], 2),
        "highest": round(ratios[-1], 2),
    }


def _output(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode:
        raise SystemExit(f"{done.args} ended with {done.returncode}:\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}")
    return done.stdout
