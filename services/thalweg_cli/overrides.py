"""Applies `--set vertex.param=VALUE` and `--file vertex.slot=PATH` to the content of a pipeline file."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from thalweg.errors import RejectedError, UsageError


def apply_overrides(content: Any, sets: list[str], files: list[str]) -> Any:
    """A copy of the content with params set and files bound; file paths are relative to the working directory.

    Where the content is not well formed it is left for its check to tell.

    Raises:
        UsageError: `override.invalid`, when one is not of its form or names no vertex.
        RejectedError: `file.missing`.
    """
    content = copy.deepcopy(content)
    vertices = content.get("vertices") if isinstance(content, dict) else None
    for text in sets:
        vertex, name, value = _split(text, "--set", vertices)
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {text}: the value is not YAML", code="override.invalid") from error
        *path, last = ("params", *name.split("."))
        _put(vertices, [vertex, *path], last, parsed)
    for text in files:
        vertex, slot, value = _split(text, "--file", vertices)
        _put(vertices, [vertex, "files"], slot, value if value.startswith("sha256:") else str(_existing(text, Path(value))))
    return content


def _existing(text: str, path: Path) -> Path:
    if not path.exists():
        raise RejectedError(
            f"--file {text}: {path} is not there", code="file.missing", hint=f"looked in {Path.cwd()}, the working directory"
        )
    return path.resolve()


def _put(holder: Any, path: list[str], last: str, value: Any) -> None:
    for part in path:
        if not isinstance(holder, dict):
            return
        holder = holder.setdefault(part, {})
    if isinstance(holder, dict):
        holder[last] = value


def _split(text: str, option: str, vertices: Any) -> tuple[str, str, str]:
    left, equals, value = text.partition("=")
    vertex, dot, name = left.partition(".")
    if not (equals and dot and name):
        raise UsageError(f"{option} {text}: not of the form vertex.name=value", code="override.invalid")
    if isinstance(vertices, dict) and vertex not in vertices:
        hint = f"there are {', '.join(map(str, vertices))}"
        raise UsageError(f"{option} {text}: there is no vertex {vertex!r}", code="override.invalid", hint=hint)
    return vertex, name, value
