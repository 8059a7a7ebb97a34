"""Stable record ids: 64 bits that depend on where a record comes from, never on when or in which batch."""

from __future__ import annotations

from hashlib import blake2b


def source_base(vertex: str) -> int:
    """First id of a source's records: 24 bits of the vertex's name, above 40 bits of ordinal."""
    return int.from_bytes(blake2b(vertex.encode(), digest_size=3).digest(), "big") << 40


def derived(*parts: int | str) -> int:
    """Id of a record that comes from others: a hash of their ids, names and ordinals."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
