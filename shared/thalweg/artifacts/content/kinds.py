"""The table of artifact types: how each is checked and described."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from thalweg.artifacts.content import archives, images, json_text, media, onnx, repositories, tables, text
from thalweg.artifacts.content.faults import Facts, mismatch
from thalweg.errors import RejectedError
from thalweg.graph.files import DIRECTORY_TYPES, FILE_TYPES

Check = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class _Kind:
    check: Check
    describe: Callable[[Path], Facts]
    check_outline: Check | None = None


def _nothing(path: Path) -> None:
    """Any content will do."""


def _no_facts(path: Path) -> Facts:
    return {}


_KINDS = {
    "csv": _Kind(tables.check_csv, tables.describe_csv, tables.check_csv_header),
    "jsonl": _Kind(json_text.check_lines, _no_facts, text.check_utf8),
    "json": _Kind(json_text.check_document, _no_facts),
    "parquet": _Kind(tables.check_parquet, tables.describe_parquet),
    "image": _Kind(images.check_image, images.describe_image),
    "image-directory": _Kind(images.check_directory, images.describe_directory),
    "video": _Kind(media.check_video, media.describe_video),
    "audio": _Kind(media.check_audio, media.describe_audio),
    "onnx": _Kind(onnx.check_model, onnx.describe_model),
    "model-repository": _Kind(repositories.check_repository, repositories.describe_repository),
    "archive": _Kind(archives.check_archive, archives.describe_archive),
    "text": _Kind(text.check_utf8, _no_facts),
    "bytes": _Kind(_nothing, _no_facts),
    "directory": _Kind(_nothing, _no_facts),
}


def check_content(path: Path, artifact_type: str, *, rows: bool = True) -> None:
    """Check that a file or directory is what it is declared to be; blocking, reads all of it in bounded memory.

    Args:
        path: a file, or a directory for directory types.
        artifact_type: declared type.
        rows: False leaves faulty rows of `csv` and faulty lines of `jsonl` to the run and its `on_error`; what makes the
            file no such file at all is still found.

    Raises:
        RejectedError: with one line that says where and why. Not of this type (`file.content_mismatch`), harmful
            (`file.unsafe`), a packed model repository (`file.packed_repository`), no such type (`file.unknown_type`), or
            not there or unreadable (`artifact.not_storable`).
    """
    kind = _kind_at(path, artifact_type)
    check = kind.check if rows or kind.check_outline is None else kind.check_outline
    try:
        check(path)
    except OSError as error:
        raise RejectedError(f"{path}: {error.strerror or error}", code="artifact.not_storable", path=str(path)) from error


def describe_content(path: Path, artifact_type: str) -> Facts:
    """Small JSON-compatible facts about content that `check_content` has let pass; blocking.

    `csv` and `parquet`: `columns` (name to stream type; of CSV inferred from the first 1,000 rows as csv-source does).
    `image`: `format`, `width`, `height`; `image-directory`: `image_count`. `video`: `codec`, `width`, `height`, `fps`,
    `duration_s`; `audio`: `codec`, `rate`, `channels`, `duration_s` (None where the file does not say). `onnx`: `inputs`,
    `outputs` (name to tensor type). `model-repository`: `models` (name to versions). `archive`: `format`, `member_count`,
    `unpacked_bytes`. Others: nothing.

    Raises:
        RejectedError: as `check_content`.
    """
    return _kind_at(path, artifact_type).describe(path)


def _kind_at(path: Path, artifact_type: str) -> _Kind:
    """The kind of a path that is a file or a directory, as its type wants it."""
    if artifact_type not in _KINDS:
        known = ", ".join(sorted(FILE_TYPES | DIRECTORY_TYPES))
        raise RejectedError(f"there is no artifact type {artifact_type!r}", code="file.unknown_type", hint=f"there are {known}")
    if not path.exists():
        raise RejectedError(f"{path}: there is no such file", code="artifact.not_storable", path=str(path))
    if artifact_type == "model-repository":
        repositories.refuse_packed(path)
    if artifact_type in DIRECTORY_TYPES and not path.is_dir():
        raise mismatch(path.name, f"{artifact_type} is a directory, this is not")
    if artifact_type in FILE_TYPES and not path.is_file():
        raise mismatch(path.name, f"{artifact_type} is a file, this is not")
    return _KINDS[artifact_type]
