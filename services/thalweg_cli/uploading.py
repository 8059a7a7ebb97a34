"""Checks files, uploads them with their progress shown, registers them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from thalweg.api.files import File
from thalweg.artifacts import Artifact, Store, check_content, guess_type
from thalweg.client import open_session, register
from thalweg.errors import RejectedError
from thalweg.settings import Settings, load_settings
from thalweg_cli.bindings import open_store

_STEP = 0.1  # of an upload, between two lines where there is no terminal
Show = Callable[[int, int], None]


def put(path: Path, artifact_type: str | None, name: str | None, lease: str = "") -> File:
    """Stores and registers a file or directory. What is not of its type is refused before anything is sent.

    Args:
        path: what to store.
        artifact_type: None for what it looks like.
        name: None for that of `path`.
        lease: which is to own it; "" for the workspace.

    Raises:
        RejectedError: `file.…`, `artifact.…`.
        UsageError, UnreachableError: no file store is given, or something does not answer.
    """
    settings = load_settings()
    if not path.exists():
        raise RejectedError(f"{path}: there is no such file", code="file.missing")
    kind = artifact_type or guess_type(path)
    check_content(path, kind)
    store = open_store(lease)
    artifact = upload(store, path)
    return register_at(settings, artifact.id, kind, name or path.resolve().name, lease)


def upload(store: Store, path: Path) -> Artifact:
    """Stores a file or directory, its progress shown on standard error."""
    with shown(path.name, Console(stderr=True)) as show:
        return (store.put_directory if path.is_dir() else store.put_file)(path, show)


@contextmanager
def shown(name: str, console: Console) -> Iterator[Show]:
    """Shows an upload: a bar on a terminal, a line for every tenth elsewhere, nothing for one that is done at once."""
    if not console.is_terminal:
        yield _lines(name, console)
        return
    columns = (TextColumn("uploading {task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=None)
        yield lambda sent, total: progress.update(task, completed=sent, total=total)


def _lines(name: str, console: Console) -> Show:
    last = 0.0

    def show(sent: int, total: int) -> None:
        nonlocal last
        share = sent / max(total, 1)
        if share - last >= _STEP and (sent < total or last > 0):
            last = share
            console.print(f"uploading {name}: {sent:,} of {total:,} bytes", highlight=False, markup=False, soft_wrap=True)

    return show


def register_at(settings: Settings, artifact: str, artifact_type: str, name: str, lease: str = "") -> File:
    """As `thalweg.client.register`, on a line of its own."""

    async def registered() -> File:
        async with open_session(settings) as session:
            return await register(session, artifact, artifact_type, name, lease)

    return asyncio.run(registered())
