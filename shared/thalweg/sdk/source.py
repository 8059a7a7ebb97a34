"""The code behind a release: which source files it is made of, and their digest."""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from thalweg.sdk.component import Component

USER_PREFIX = "thalweg_user_"  # of modules that are loaded from a file of a user's own


def source_digest(component: Component) -> str:
    """`sha256:<hex>` of a release's name and version and of all code that it is made of.

    That is the module that defines it, and, transitively, every module of the same top-level package that it imports; of a user's
    file, every module beside it that it imports. Other packages are not in it: the lock file pins those.
    """
    digest = hashlib.sha256(f"{component.name}@{component.version}\0".encode())
    module, file = component.target.__module__, Path(inspect.getfile(component.target))
    for name, source in sorted(_sources(module, file)):
        digest.update(f"{name}\0{len(source)}\0".encode() + source)
    return f"sha256:{digest.hexdigest()}"


def _sources(module: str, file: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each module; names do not depend on where the files are."""
    if module.startswith(USER_PREFIX):
        module, root, top = file.stem, file.parent, ""
    else:
        depth = module.count(".") + (file.stem == "__init__")
        root, top = (file.parents[depth], module.partition(".")[0]) if depth else (file.parent, module)
    waiting, seen = [(module, file)], {module}
    while waiting:
        name, path = waiting.pop()
        source, imported = _read(path)
        yield name, source
        package = name if path.stem == "__init__" else name.rpartition(".")[0]
        for one in _absolute(imported, package):
            found = _locate(root, one) if one not in seen and (not top or one.startswith(f"{top}.")) else None
            if found is not None:
                seen.add(one)
                waiting.append((one, found))


@lru_cache
def _read(path: Path) -> tuple[bytes, frozenset[tuple[int, str]]]:
    """A source file, and what it imports, as (dots in front, dotted name); names that are no modules are among them."""
    source = path.read_bytes()
    found: set[tuple[int, str]] = set()
    for node in _statements(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {(0, alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            found |= {(node.level, base), *((node.level, f"{base}.{alias.name}".lstrip(".")) for alias in node.names)}
    return source, frozenset(found)


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """All statements; to look into expressions as well, as `ast.walk` does, would take twice the time."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for inner in ("body", "orelse", "finalbody", "handlers", "cases"):
            found = getattr(node, inner, None)
            if isinstance(found, list):
                waiting += found


def _absolute(imported: frozenset[tuple[int, str]], package: str) -> Iterator[str]:
    for level, name in imported:
        if level == 0:
            yield name
        else:
            base = package.split(".")[: package.count(".") + 2 - level]
            yield ".".join([*filter(None, base), *filter(None, [name])])


def _locate(root: Path, module: str) -> Path | None:
    if not module:
        return None
    path = root.joinpath(*module.split("."))
    return next((one for one in (path.with_suffix(".py"), path / "__init__.py") if one.is_file()), None)
