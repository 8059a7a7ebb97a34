"""Saves generated files into a user's folder, and never replaces a directory there that holds anything of the user's."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from thalweg.artifacts import Store
from thalweg.artifacts.digests import digest_of
from thalweg.errors import RejectedError
from thalweg.wire.commit import Commit
from thalweg_cli.summary import Saved

_NOTES = ".thalweg.json"  # name -> artifact id of each directory that a run has saved


def check_out(out: Path, names: Iterable[str]) -> None:
    """Checks before a run that its files can be saved; makes nothing.

    Raises:
        RejectedError: `out` is no directory or cannot be written (`out.not_writable`); a directory there would be replaced that
            no run has saved, or that was changed since (`out.not_ours`).
    """
    place = out
    while not os.path.lexists(place):
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise RejectedError(
            f"{out}: generated files cannot be saved there: {place}: {error.strerror}",
            code="out.not_writable",
            hint="--out names the folder to save them in",
        ) from error
    for name in names:
        _check_replaceable(out, name)


def save(store: Store, commits: dict[str, Commit], out: Path) -> list[Saved]:
    """Saves every generated file under its name. Files and former results of that name are replaced, each at once.

    Raises:
        RejectedError: see `check_out`.
    """
    saved: list[Saved] = []
    for vertex, commit in commits.items():
        for slot, generated in commit.generated.items():
            fetched = store.fetch(generated.artifact, generated.name)
            out.mkdir(parents=True, exist_ok=True)
            _check_replaceable(out, generated.name)
            _replace(fetched, out / generated.name)
            if fetched.is_dir():
                _note(out, generated.name, generated.artifact)
            saved.append(Saved(vertex, slot, out / generated.name, generated.artifact, generated.size_bytes))
    return saved


def _check_replaceable(out: Path, name: str) -> None:
    path = out / name
    if path.is_dir() and not _holds(path, _notes(out).get(name)):
        raise RejectedError(
            f"{path} is a directory that is not the unchanged result of a former run: it is not replaced",
            code="out.not_ours",
            hint="move it away, or choose another --out",
        )


def _holds(path: Path, artifact: str | None) -> bool:
    try:
        return artifact is not None and digest_of(path).id == artifact
    except RejectedError:
        return False


def _replace(fetched: Path, path: Path) -> None:
    """Copies to a temporary sibling, then swaps."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".thalweg-") as scratch:
        copy = Path(scratch) / "new"
        if fetched.is_dir():
            shutil.copytree(fetched, copy)
        else:
            shutil.copyfile(fetched, copy)
        if path.is_dir() or (fetched.is_dir() and os.path.lexists(path)):
            path.rename(Path(scratch) / "old")
        copy.replace(path)


def _notes(out: Path) -> dict[str, str]:
    try:
        return dict(json.loads((out / _NOTES).read_text()))
    except (OSError, ValueError):
        return {}


def _note(out: Path, name: str, artifact: str) -> None:
    (out / _NOTES).write_text(json.dumps({**_notes(out), name: artifact}, indent=1) + "\n")
