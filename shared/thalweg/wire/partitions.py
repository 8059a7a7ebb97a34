"""Deals the records of a vertex out to its partitions."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from thalweg.graph.partitions import partition_of
from thalweg.wire.commit import Commit
from thalweg.wire.spec import DeploymentSpec, Share, VertexSpec

_pack = msgspec.msgpack.Encoder().encode


def indexes(share: Share, values: Sequence[Any], ids: Sequence[int]) -> list[int]:
    """Which records of a batch fall to a share; each record falls to one share of all.

    Args:
        share: whose.
        values: the records, decoded; only their key is looked at.
        ids: of the records.
    """
    return [index for index, digit in enumerate(digits(share.key, values, ids)) if digit % share.count == share.index]


def digits(key: str | None, values: Sequence[Any], ids: Sequence[int]) -> Sequence[int]:
    """Of each record a number, whose remainder by the count of shares is the index of the one that it falls to."""
    return ids if key is None else [_digit(value, key) for value in values]


def parts_of(spec: DeploymentSpec, vertex: str) -> list[VertexSpec]:
    """What is deployed of a vertex: it alone, or its partitions, those that were retired among them."""
    return [one for one in spec.vertices if partition_of(one.name)[0] == vertex]


def records_taken(commits: Mapping[str, Commit], vertex: str) -> int:
    """Records that the vertex of a partition has taken, all of its partitions together."""
    name = partition_of(vertex)[0]
    return sum(commit.counters.records_in for one, commit in commits.items() if partition_of(one)[0] == name)


def formers_of(spec: DeploymentSpec, vertex: VertexSpec) -> list[list[VertexSpec]]:
    """The partitions that a vertex has taken the place of: oldest first, those that were retired at once together."""
    if vertex.retired:
        return []
    retired = [one for one in parts_of(spec, partition_of(vertex.name)[0]) if one.retired]
    return [[one for one in retired if one.retired == generation] for generation in sorted({one.retired for one in retired})]


def _digit(value: Any, key: str) -> int:
    """A number that is the same for equal keys, on every machine and in every version."""
    return zlib.crc32(_pack(value.get(key) if isinstance(value, dict) else getattr(value, key)))
