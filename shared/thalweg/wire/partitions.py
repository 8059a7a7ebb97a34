"""Deals the records of a vertex out to its partitions."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import msgspec

from thalweg.wire.spec import Share

_pack = msgspec.msgpack.Encoder().encode


def indexes(share: Share, values: Sequence[Any], ids: Sequence[int]) -> list[int]:
    """Which records of a batch fall to a share; each record falls to one share of all.

    Args:
        share: whose.
        values: the records, decoded; only their key is looked at.
        ids: of the records.
    """
    if share.key is None:
        return [index for index, own in enumerate(ids) if own % share.count == share.index]
    return [index for index, value in enumerate(values) if _digit(value, share.key) % share.count == share.index]


def _digit(value: Any, key: str) -> int:
    """A number that is the same for equal keys, on every machine and in every version."""
    return zlib.crc32(_pack(value[key] if isinstance(value, dict) else getattr(value, key)))
