"""The digest of a port: a hash chain over its records, which does not depend on how they were batched."""

from __future__ import annotations

from hashlib import blake2b

START = bytes(32)


def extend(digest: bytes, parts: list[bytes], times: list[int]) -> bytes:
    """The chain after more records: `d' = blake2b-256(d + event time as 8 bytes little endian + canonical msgpack of the value)`."""
    for part, time_ns in zip(parts, times, strict=True):
        digest = blake2b(digest + time_ns.to_bytes(8, "little", signed=True) + part, digest_size=32).digest()
    return digest
