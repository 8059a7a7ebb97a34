"""Uploads the files that a pipeline file binds by path, and binds the artifacts instead."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from thalweg.artifacts import check_content, guess_type
from thalweg.errors import RejectedError, UsageError
from thalweg.graph.releases import Releases


def upload_bindings(content: dict[str, Any], base: Path, releases: Releases, *, is_trial: bool = False, lease: str = "") -> dict[str, Any]:
    """A copy of a pipeline file's content with every path under `files` replaced by the id of the uploaded, registered artifact.

    Args:
        content: of a pipeline file; what is not well formed stays as it is, for the check to tell.
        base: folder that its paths are relative to.
        releases: say what type a slot takes; where they do not, it is guessed.
        is_trial: register nothing.
        lease: which is to own what is uploaded; "" for the workspace.

    Raises:
        RejectedError: `file.missing`, or a file is not what its slot takes.
        UsageError: `settings.missing`, when there is something to upload and no file store is given.
        UnreachableError: the file store or the coordinator does not answer.
    """
    content = copy.deepcopy(content)
    vertices = content.get("vertices")
    bound = [
        (name, vertex.get("component"), files)
        for name, vertex in (vertices.items() if isinstance(vertices, dict) else ())
        if isinstance(vertex, dict) and isinstance(files := vertex.get("files"), dict)
    ]
    wanted = [(name, component, files, slot) for name, component, files in bound for slot, path in files.items() if _is_path(path)]
    if not wanted:
        return content
    from thalweg.settings import load_settings
    from thalweg_cli.uploading import register_at, upload

    store = open_store(lease)
    for name, component, files, slot in wanted:
        path = base / files[slot]
        if not path.exists():
            raise RejectedError(f"vertex {name}: files.{slot}: {files[slot]} is not there", code="file.missing", hint=f"looked in {base}")
        try:
            kind = type_to_register(path, _slot_type(releases, component, slot))
        except RejectedError as error:
            raise RejectedError(f"vertex {name}: files.{slot}: {error}", code=error.code, hint=error.hint) from None
        artifact = upload(store, path).id
        if not is_trial:
            register_at(load_settings(), artifact, kind, path.resolve().name, lease)
        files[slot] = artifact
    return content


def type_to_register(path: Path, slot_type: str | None) -> str:
    """The slot's type, else what the file looks like; `bytes` for one with faulty rows alone, which a vertex's `on_error` decides on.

    Raises:
        RejectedError: it is no such file at all.
    """
    kind = slot_type or guess_type(path)
    try:
        check_content(path, kind)
    except RejectedError:
        if path.is_dir():
            raise
        check_content(path, kind, rows=False)
        return "bytes"
    return kind


def _slot_type(releases: Releases, component: Any, slot: str) -> str | None:
    name, _, version = component.partition("@") if isinstance(component, str) else ("", "", "")
    versions = releases.versions(name)
    release = releases.find(name, version or versions[-1]) if versions else None
    declared = release.manifest.file_schema.get(slot) if release is not None else None
    return declared.type if declared is not None else None


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and not value.startswith("sha256:")


def open_store(lease: str = "") -> Any:
    """The file store of the settings, with its bucket, as a lease sees it.

    Raises:
        UsageError: `settings.missing`.
        UnreachableError: it does not answer.
    """
    from thalweg.artifacts import Store
    from thalweg.settings import load_settings

    settings = load_settings()
    if settings.s3_endpoint is None:
        raise UsageError("no file store is given: THALWEG_S3_ENDPOINT is not set", code="settings.missing", hint="see `thalweg up`")
    store = Store.of(settings, lease)
    store.ensure_bucket()
    return store
