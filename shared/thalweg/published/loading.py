"""Loads the components of an unpacked release; only in a process that is made for its author's code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thalweg.errors import RejectedError
from thalweg.published.archive import content_digest
from thalweg.sdk.catalog import components_in, load_module, load_release
from thalweg.sdk.release import ComponentRelease

_NOT_COMPONENTS = frozenset({"conftest", "setup"})


def load_published(component: str, folder: Path, code: str) -> ComponentRelease:
    """The release `name@version` of a folder, its manifest as it is published.

    Args:
        component: `name@version`.
        folder: of the unpacked archive; put on the import path.
        code: name of the module's file in it.

    Raises:
        RejectedError: `component.unknown`, `component.unreadable`.
    """
    _prepare(folder)
    with _named_within(folder):
        return _published(load_release(component, str(folder / code)), folder)


def load_all(folder: Path) -> list[ComponentRelease]:
    """Every release of a folder: of its `.py` files but for tests and those whose names begin with `_`.

    Raises:
        RejectedError: `release.empty`, `release.twice`, or `component.unreadable`, when a file cannot be imported.
    """
    _prepare(folder)
    found: dict[str, ComponentRelease] = {}
    for file in module_files(folder):
        with _named_within(folder):
            module = load_module(str(file))
        for full, component in components_in(module).items():
            if full in found:
                raise RejectedError(f"{full} is in {found[full].manifest.code} and in {file.name}", code="release.twice")
            found[full] = _published(ComponentRelease(component, str(file)), folder)
    if not found:
        hint = "decorate a function or class in a .py file at the top of the folder with @component"
        raise RejectedError("there is no component", code="release.empty", hint=hint)
    return [found[full] for full in sorted(found)]


def module_files(folder: Path) -> Iterator[Path]:
    """The files that may hold components."""
    for file in sorted(folder.glob("*.py")):
        if not (file.name.startswith(("_", "test_")) or file.stem.endswith("_test") or file.stem in _NOT_COMPONENTS):
            yield file


def _prepare(folder: Path) -> None:
    sys.dont_write_bytecode = True
    if sys.path[0] != str(folder):
        sys.path.insert(0, str(folder))


@contextmanager
def _named_within(folder: Path) -> Iterator[None]:
    """Faults name files as they are called in the archive: where it is unpacked is nobody's business."""
    try:
        yield
    except RejectedError as error:
        raise RejectedError(str(error).replace(f"{folder}{os.sep}", ""), code=error.code, hint=error.hint, **error.facts) from error


def _published(release: ComponentRelease, folder: Path) -> ComponentRelease:
    manifest = release.manifest
    update = {"code": Path(manifest.code).name, "digest": content_digest(manifest.digest, folder)}
    release.manifest = manifest.model_copy(update=update)
    return release
