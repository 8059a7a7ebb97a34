"""What vertices have printed and logged, as files of the data folder: what is left where no server runs."""

from __future__ import annotations

import time
from pathlib import Path

import typer

from thalweg.errors import RejectedError

POLL_S = 0.2


def show_files(folder: Path, vertex: str | None, *, follow: bool, lines: int) -> None:
    """Prints whole lines of the files of a deployment.

    Args:
        folder: of the deployment.
        vertex: None for all.
        follow: goes on as lines are written, for ever.
        lines: at most so many old ones of each vertex.

    Raises:
        RejectedError: `logs.none`.
    """
    read: dict[Path, int] = {}
    if not _log_files(folder, vertex):
        named = folder.name + (f"/{vertex}" if vertex else "")
        hint = "THALWEG_NATS_URL says where a server is that has them; `thalweg up` prints it"
        raise RejectedError(f"there are no logs of {named} in {folder}", code="logs.none", hint=hint)
    while True:
        for path in _log_files(folder, vertex):
            _print_new(path, read, lines)
        if not follow:
            return
        time.sleep(POLL_S)


def _log_files(folder: Path, vertex: str | None) -> list[Path]:
    return sorted(folder.glob(f"{vertex or '*'}.log"))


def _print_new(path: Path, read: dict[Path, int], limit: int) -> None:
    """Prints whole lines that were not printed yet; of a file seen for the first time, the last ones."""
    with path.open("rb") as file:
        if path not in read:
            body = file.read()
            old = body[: body.rfind(b"\n") + 1]
            found = old.splitlines()[-limit:] if limit else []
            read[path] = len(old)
        else:
            file.seek(read[path])
            body = file.read()
            new = body[: body.rfind(b"\n") + 1]
            found = new.splitlines()
            read[path] += len(new)
    for line in found:
        typer.echo(line.decode(errors="replace"))
