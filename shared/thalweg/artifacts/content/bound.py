"""Whether a local file can be bound to a slot, found out in no time: by its first bytes, header or footer.

Faulty rows, lines and images are left to the run, whose `on_error` decides about them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from thalweg.artifacts.content import archives, images, media
from thalweg.artifacts.content.guess import guess_type
from thalweg.artifacts.content.kinds import check_content, describe_content
from thalweg.errors import RejectedError
from thalweg.graph.files import DIRECTORY_TYPES, BindingFault, check_binding
from thalweg.graph.manifest import FileSlot

_TEXT = frozenset({"csv", "jsonl", "text"})
_TABLES = frozenset({"csv", "parquet"})
_HEAD_BYTES = 4096
_QUICK: dict[str, Callable[[Path], object]] = {
    "video": media.describe_video,
    "archive": archives.archive_format,
    "image-directory": images.describe_directory,
}


def check_bound(slot: FileSlot, path: Path) -> list[BindingFault]:
    """What keeps a file or directory that is there from being bound to a slot; nothing when it fits."""
    try:
        return _shape_fault(slot, path) or _content_faults(slot, path)
    except RejectedError as error:
        return [BindingFault(error.code, str(error).removeprefix(f"{path.name}: "), error.hint)]
    except OSError as error:
        return [BindingFault("file.unreadable", error.strerror or str(error))]


def _shape_fault(slot: FileSlot, path: Path) -> list[BindingFault]:
    wanted = "directory" if slot.type in DIRECTORY_TYPES else "file"
    found = "directory" if path.is_dir() else "file"
    if wanted == found or slot.type == "model-repository":
        return []
    return [BindingFault("slot.wrong_type", f"this is a {found}; the slot takes {slot.type}, which is a {wanted}")]


def _content_faults(slot: FileSlot, path: Path) -> list[BindingFault]:
    if slot.type in _TEXT:
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
        # Not what is no UTF-8: bytes that are none may be in one row alone.
        guessed = guess_type(path)
        if b"\0" in head or head.startswith((b"PAR1", b"\x1f\x8b")):
            looks = f"; it looks like {guessed}" if guessed not in (*_TEXT, "bytes") else ""
            return [BindingFault("file.content_mismatch", f"this is not text, as {slot.type} is{looks}")]
    elif slot.type in _QUICK:
        _QUICK[slot.type](path)
    else:
        check_content(path, slot.type, rows=False)
    if not slot.columns or slot.type not in _TABLES:
        return []
    check_content(path, slot.type, rows=False)
    return check_binding(slot, slot.type, describe_content(path, slot.type))
