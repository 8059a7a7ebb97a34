"""Finds component releases by name and version: the standard library's, and those in directories of a user's own."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from thalweg.errors import RejectedError
from thalweg.graph.releases import version_order
from thalweg.sdk.component import ATTRIBUTE, Component
from thalweg.sdk.release import ComponentRelease
from thalweg.sdk.source import USER_PREFIX


class Catalog:
    """Implements `thalweg.graph.releases.Releases`.

    Args:
        packages: import packages with an `INDEX` of "name@version" -> module; a release's module is imported when asked for.
        paths: `.py` files or directories of them; all are imported on first use.
    """

    def __init__(self, packages: tuple[str, ...] = ("thalweg_components",), paths: tuple[Path, ...] = ()) -> None:
        self._packages, self._paths = packages, paths
        self._index: dict[str, str] | None = None

    def names(self) -> list[str]:
        """Every `name@version`, sorted."""
        return sorted(self._where())

    def versions(self, name: str) -> list[str]:
        """Versions of a component, the latest last; empty for an unknown one."""
        return sorted((full.partition("@")[2] for full in self._where() if full.partition("@")[0] == name), key=version_order)

    def find(self, name: str, version: str) -> ComponentRelease | None:
        """The release, or None."""
        code = self._where().get(f"{name}@{version}")
        return None if code is None else load_release(f"{name}@{version}", code)

    def _where(self) -> dict[str, str]:
        if self._index is None:
            self._index = {}
            for package in self._packages:
                self._index |= importlib.import_module(package).INDEX
            for path in self._paths:
                for file in _python_files(path):
                    self._index |= {full: str(file) for full in components_in(load_module(str(file)))}
        return self._index


def load_release(full_name: str, code: str) -> ComponentRelease:
    """The release `name@version` out of the module at `code`.

    Raises:
        RejectedError: `component.unknown`, when the module has no such release.
    """
    found = components_in(load_module(code)).get(full_name)
    if found is None:
        raise RejectedError(f"component {full_name} is not in {code}", code="component.unknown")
    return ComponentRelease(found, code)


def load_module(code: str) -> ModuleType:
    """Imports a module by import path, or a `.py` file by its path (once per process)."""
    if not code.endswith(".py"):
        return importlib.import_module(code)
    name = USER_PREFIX + hashlib.sha256(code.encode()).hexdigest()[:12]
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, code)
    if spec is None or spec.loader is None or not Path(code).is_file():
        raise RejectedError(f"{code}: there is no such file", code="component.unreadable")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise RejectedError(f"{code} does not import: {type(error).__name__}: {error}", code="component.unreadable") from error
    return module


def components_in(module: ModuleType) -> dict[str, Component]:
    """The releases that a module defines, by `name@version`."""
    found = (getattr(value, ATTRIBUTE, None) for value in vars(module).values())
    return {f"{one.name}@{one.version}": one for one in found if isinstance(one, Component) and one.target.__module__ == module.__name__}


def _python_files(path: Path) -> Iterator[Path]:
    """Absolute paths, since a vertex may run in another working directory."""
    path = path.absolute()
    if path.is_dir():
        yield from sorted(file for file in path.glob("*.py") if not file.name.startswith("_"))
    elif path.exists() and path.suffix == ".py":
        yield path
    else:
        what = "is not a .py file" if path.exists() else "there is no such file or folder"
        hint = "--components and THALWEG_COMPONENTS name .py files, or folders of them"
        raise RejectedError(f"{path}: {what}", code="component.unreadable", hint=hint)
