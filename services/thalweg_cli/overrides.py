"""Applies `--set vertex.param=VALUE` and `--file vertex.slot=PATH` to a loaded pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from thalweg.errors import UsageError
from thalweg.graph.pipeline import Pipeline, read_pipeline


def apply_overrides(pipeline: Pipeline, sets: list[str], files: list[str]) -> Pipeline:
    """A copy of the pipeline with params set and files bound; file paths are relative to the working directory.

    Raises:
        UsageError: `override.invalid`, when one is not of its form or names no vertex.
        RejectedError: `pipeline.invalid`, when it sets what a pipeline cannot hold.
    """
    content = pipeline.model_dump()
    for text in sets:
        vertex, name, value = _split(text, "--set", content)
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {text}: the value is not YAML", code="override.invalid") from error
        *path, last = name.split(".")
        target: dict[str, Any] = content["vertices"][vertex]["params"]
        for part in path:
            target = target.setdefault(part, {})
        target[last] = parsed
    for text in files:
        vertex, slot, value = _split(text, "--file", content)
        content["vertices"][vertex]["files"][slot] = value if value.startswith("sha256:") else str(Path(value).resolve())
    return read_pipeline(content, "with --set and --file")


def _split(text: str, option: str, content: dict[str, Any]) -> tuple[str, str, str]:
    left, equals, value = text.partition("=")
    vertex, dot, name = left.partition(".")
    if not (equals and dot and name):
        raise UsageError(f"{option} {text}: not of the form vertex.name=value", code="override.invalid")
    if vertex not in content["vertices"]:
        raise UsageError(
            f"{option} {text}: there is no vertex {vertex!r}", code="override.invalid", hint=f"there are {', '.join(content['vertices'])}"
        )
    return vertex, name, value
