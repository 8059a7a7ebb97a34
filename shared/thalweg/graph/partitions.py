"""Partitions of vertices: what they are called, which vertices can be split, by which keys."""

from __future__ import annotations

from thalweg.graph.manifest import Manifest
from thalweg.graph.types import BOOL, BYTES, INT, STR, OptionalOf, Record, StreamType

_KEYS = frozenset({STR, INT, BOOL, BYTES})


def partition_name(vertex: str, number: int) -> str:
    """Name of one partition of a vertex, counted from 1; 0 stands for a vertex that has none, which is called as it is."""
    return f"{vertex}~{number}" if number else vertex


def partition_of(name: str) -> tuple[str, int]:
    """The vertex and the number that are in a name; inverse of `partition_name`."""
    vertex, _, number = name.partition("~")
    return vertex, int(number or 0)


def find_unsplittable(manifest: Manifest, key: str | None) -> tuple[str, str] | None:
    """Why a component cannot work in partitions, and what would help; None where it can.

    Args:
        manifest: of its release.
        key: the field by which records are dealt out, None for any even way.
    """
    if manifest.kind == "source":
        return "a source has no input that could be dealt out", "give partitions to the vertices behind it"
    if manifest.endpoint:
        return "an endpoint is one place", "give partitions to the vertices behind or before it"
    if manifest.generated_file_schema:
        return "each partition would leave a file of the same name", "give partitions to the vertices before it"
    if manifest.combine == "zip":
        return "it pairs records by their order, which partitions do not keep", "leave it whole"
    if key is None and (manifest.stateful or len(manifest.inputs) > 1):
        return "records that belong together must come to the same partition", "key: the field that they have in common"
    return None


def is_key(kind: StreamType, key: str) -> bool:
    """Whether records of a type have a field of a name by which they can be dealt out: equal values must be equal bytes."""
    fields = dict(kind.fields) if isinstance(kind, Record) else {}
    found = fields.get(key)
    return (found.item if isinstance(found, OptionalOf) else found) in _KEYS
