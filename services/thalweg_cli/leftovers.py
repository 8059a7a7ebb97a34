"""Ends what a run has started, whoever is left to do it: the run itself, or the next one in the data folder of one that was killed.

A run notes itself in `runs/<deployment>.pid` of the data folder, or `.kept` when its deployment is to be kept. Its vertices outlive
their coordinator by design, so their pid files say what to end.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from thalweg.bus.connection import Client, NatsError, connect
from thalweg.bus.deployments import delete_deployment, load_deployment, store_deployment
from thalweg.embedded.leftovers import end_leftovers, process_of, write_pid_file
from thalweg.errors import RejectedError, ThalwegError
from thalweg.settings import Settings

END_TIMEOUT_S = 3.0
_GONE, _KEPT = ".pid", ".kept"


def private_home(data: Path, name: str) -> Path:
    """Data folder of a run that found `data` in use."""
    return data / "beside" / name


def note_run(data: Path, name: str, pid: int, *, keep: bool) -> Path:
    """Says which process a run belongs to; returns the note."""
    path = data / "runs" / f"{name}{_KEPT if keep else _GONE}"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_pid_file(path, pid)
    return path


def end_killed_runs(data: Path) -> list[Path]:
    """Ends the processes of runs whose own process is gone; returns their notes. Blocking."""
    notes = [path for path in (data / "runs").glob("*") if path.suffix in (_GONE, _KEPT) and process_of(path) is None]
    for note in notes:
        private = private_home(data, note.stem)
        end_processes(private if private.exists() else data, note.stem)
        if private.exists() and note.suffix == _GONE:
            discard(private)
    return notes


async def remove_killed_runs(client: Client, workspace: str, notes: list[Path]) -> None:
    """Removes the deployments that killed runs left on these servers, then their notes."""
    for note in notes:
        if note.suffix == _GONE:
            await delete_deployment(client, workspace, note.stem)
        note.unlink(missing_ok=True)


def end_processes(home: Path, name: str) -> None:
    """Ends the coordinator, then the vertices of a run, and removes what they kept beside the log. Blocking; idempotent."""
    end_leftovers([home / f"coordinator-{name}.pid"], END_TIMEOUT_S)
    vertices = home / "vertices" / name
    end_leftovers(vertices.glob("*.json"), END_TIMEOUT_S)
    for folder in (vertices, home / "scratch" / name):
        shutil.rmtree(folder, ignore_errors=True)


async def close_deployment(settings: Settings, name: str, *, keep: bool) -> bool:
    """Removes a run's deployment, or stops it where it is kept; says whether that was possible."""
    try:
        assert settings.nats_url is not None
        client = await connect(settings.nats_url, "thalweg run")
        try:
            await (_stop if keep else delete_deployment)(client, settings.workspace, name)
        finally:
            await client.close()
    except (ThalwegError, NatsError, OSError, TimeoutError):
        return False  # the run's own error matters more
    return True


async def _stop(client: Client, workspace: str, name: str) -> None:
    """Keeps a later coordinator from starting the vertices again."""
    try:
        spec = await load_deployment(client, workspace, name)
    except RejectedError:
        return  # it was not deployed yet
    await store_deployment(client, msgspec.structs.replace(spec, desired="stopped"))


def discard(home: Path) -> None:
    """Removes a run's private data folder but for its logs."""
    for path in home.iterdir():
        if path.is_dir() and path.name != "logs":
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_file():
            path.unlink(missing_ok=True)
