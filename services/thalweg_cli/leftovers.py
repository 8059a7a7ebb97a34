"""Ends what a run has started, whoever is left to do it: the run itself, or the next one in the data folder of one that was killed.

A run notes itself in `runs/<deployment>.pid` of the data folder. Its vertices outlive their coordinator by design, so their pid files
say what to end. What is stored on the servers goes with the run's lease.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from thalweg.embedded.leftovers import end_leftovers, process_of, write_pid_file

END_TIMEOUT_S = 3.0


def private_home(data: Path, name: str) -> Path:
    """Data folder of a run that found `data` in use."""
    return data / "beside" / name


def note_run(data: Path, name: str, pid: int) -> Path:
    """Says which process a run belongs to; returns the note."""
    path = data / "runs" / f"{name}.pid"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_pid_file(path, pid)
    return path


def end_killed_runs(data: Path) -> list[Path]:
    """Ends the processes of runs whose own process is gone; returns their notes. Blocking."""
    notes = [path for path in (data / "runs").glob("*.pid") if process_of(path) is None]
    for note in notes:
        private = private_home(data, note.stem)
        end_processes(private if private.exists() else data, note.stem)
        if private.exists():
            discard(private)
    return notes


def end_processes(home: Path, name: str) -> None:
    """Ends the coordinator, then the vertices and captures of a run, and removes what they kept beside the log. Blocking; idempotent.

    Its deployments are `name` and `name-…`.
    """
    end_leftovers([home / f"coordinator-{name}.pid"], END_TIMEOUT_S)
    kinds = ("vertices", "captures", "scratch")
    vertices, captures, scratch = ([home / kind / name, *(home / kind).glob(f"{name}-*")] for kind in kinds)
    end_leftovers([path for folder in (*vertices, *captures) for path in folder.glob("*.json")], END_TIMEOUT_S)
    for folder in (*vertices, *captures, *scratch):
        shutil.rmtree(folder, ignore_errors=True)


def discard(home: Path) -> None:
    """Removes a run's private data folder but for its logs."""
    for path in home.iterdir():
        if path.is_dir() and path.name != "logs":
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_file():
            path.unlink(missing_ok=True)
