"""Artifact types, and whether an artifact fits a file slot; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thalweg.graph.accept import find_conflict
from thalweg.graph.manifest import FileSlot
from thalweg.graph.parse import parse_type

FILE_TYPES = frozenset({"csv", "jsonl", "json", "parquet", "image", "video", "audio", "onnx", "archive", "bytes", "text"})
DIRECTORY_TYPES = frozenset({"image-directory", "model-repository", "directory"})
_NARROWER = {
    "bytes": FILE_TYPES,
    "text": frozenset({"csv", "jsonl", "json"}),
    "directory": DIRECTORY_TYPES,
}


@dataclass(frozen=True, slots=True)
class BindingFault:
    """Why an artifact does not fit a slot: a dotted code, one line, and what would help."""

    code: str
    message: str
    hint: str | None = None


def accepts_type(slot_type: str, artifact_type: str) -> bool:
    """Whether a slot takes artifacts of a type: its own, any file for `bytes`, what is UTF-8 for `text`, any for `directory`."""
    return artifact_type == slot_type or artifact_type in _NARROWER.get(slot_type, ())


def check_binding(slot: FileSlot, artifact_type: str, facts: Mapping[str, Any]) -> list[BindingFault]:
    """What keeps an artifact from being bound to a slot; nothing when it fits.

    Args:
        slot: as the release declares it.
        artifact_type: the artifact's type.
        facts: of the artifact, as `thalweg.artifacts.describe_content` gives them; where they have no `columns`, columns
            are left to the run.
    """
    if not accepts_type(slot.type, artifact_type):
        hint = f"put the file with --type {slot.type}" if slot.type in FILE_TYPES | DIRECTORY_TYPES else None
        return [BindingFault("slot.wrong_type", f"the slot takes {slot.type}, not {artifact_type}", hint)]
    columns = facts.get("columns")
    if columns is None:
        return []
    found = (_column_fault(name, wanted, columns) for name, wanted in slot.columns.items())
    return [fault for fault in found if fault is not None]


def _column_fault(name: str, wanted: str, columns: Mapping[str, str]) -> BindingFault | None:
    if name not in columns:
        if wanted.endswith("?"):
            return None
        return BindingFault("slot.column_missing", f"column {name} ({wanted}) is missing", f"the file has: {', '.join(columns)}")
    if find_conflict(parse_type(columns[name]), parse_type(wanted)) is None:
        return None
    return BindingFault("slot.column_type", f"column {name} is {columns[name]}, the slot takes {wanted}")
