"""Uploads the files that a pipeline file binds by path, and binds the artifacts instead."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from thalweg.errors import RejectedError, UsageError


def upload_bindings(content: dict[str, Any], base: Path) -> dict[str, Any]:
    """A copy of a pipeline file's content with every path under `files` replaced by the id of the uploaded artifact.

    Args:
        content: of a pipeline file; what is not well formed stays as it is, for the check to tell.
        base: folder that its paths are relative to.

    Raises:
        RejectedError: `file.missing`.
        UsageError: `settings.missing`, when there is something to upload and no file store is given.
        UnreachableError: the file store does not answer.
    """
    content = copy.deepcopy(content)
    vertices = content.get("vertices")
    bound = [
        (name, files)
        for name, vertex in (vertices.items() if isinstance(vertices, dict) else ())
        if isinstance(vertex, dict) and isinstance(files := vertex.get("files"), dict)
    ]
    wanted = [(name, files, slot) for name, files in bound for slot, path in files.items() if _is_path(path)]
    if not wanted:
        return content
    store = open_store()
    for name, files, slot in wanted:
        path = base / files[slot]
        if not path.exists():
            raise RejectedError(f"vertex {name}: files.{slot}: {files[slot]} is not there", code="file.missing", hint=f"looked in {base}")
        files[slot] = (store.put_directory if path.is_dir() else store.put_file)(path).id
    return content


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and not value.startswith("sha256:")


def open_store() -> Any:
    """The file store of the settings, with its bucket.

    Raises:
        UsageError: `settings.missing`.
        UnreachableError: it does not answer.
    """
    from thalweg.artifacts import Store
    from thalweg.settings import load_settings

    settings = load_settings()
    if settings.s3_endpoint is None:
        raise UsageError("no file store is given: THALWEG_S3_ENDPOINT is not set", code="settings.missing", hint="see `thalweg up`")
    store = Store(
        settings.s3_endpoint,
        settings.s3_bucket,
        settings.s3_access_key,
        settings.s3_secret_key,
        settings.workspace,
        settings.data / "cache",
    )
    store.ensure_bucket()
    return store
