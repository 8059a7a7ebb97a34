"""Model repositories laid out as Triton wants them: <model>/config.pbtxt and <model>/<version>/<model file>."""

from __future__ import annotations

import re
from pathlib import Path

from thalweg.artifacts.content.archives import archive_format
from thalweg.artifacts.content.faults import Facts, mismatch
from thalweg.errors import RejectedError

_VERSION = re.compile(r"[1-9]\d*")


def refuse_packed(path: Path) -> None:
    """Refuse a tar or zip: a model server reads single files of it, which a packed one does not offer."""
    if path.is_file() and archive_format(path) is not None:
        raise RejectedError(
            f"{path.name}: a packed model repository: a model server opens the files in it by their paths",
            code="file.packed_repository",
            hint="unpack it and put the directory",
            path=str(path),
        )


def check_repository(path: Path) -> None:
    """Refuse a directory in which a model has no `config.pbtxt`, or no numbered version with a file in it."""
    models = _models(path)
    if not models:
        raise mismatch(path.name, "there is no model in it", "<model>/config.pbtxt and <model>/1/<model file>")
    for model in models:
        if not (model / "config.pbtxt").is_file():
            raise mismatch(model.name, "has no config.pbtxt")
        versions = _versions(model)
        if not versions:
            raise mismatch(model.name, "has no version", f"put the model file into {model.name}/1/")
        for version in versions:
            if not any(version.iterdir()):
                raise mismatch(f"{model.name}/{version.name}", "has no model file")


def describe_repository(path: Path) -> Facts:
    """Versions of each model."""
    return {"models": {model.name: [int(version.name) for version in _versions(model)] for model in _models(path)}}


def _models(path: Path) -> list[Path]:
    return sorted(one for one in path.iterdir() if one.is_dir() and not one.name.startswith("."))


def _versions(model: Path) -> list[Path]:
    return sorted((one for one in model.iterdir() if one.is_dir() and _VERSION.fullmatch(one.name)), key=lambda one: int(one.name))
