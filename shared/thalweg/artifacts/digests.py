"""Digests that name artifacts: sha256 of a file's bytes, or of a directory's canonical tar."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from thalweg.artifacts.directories import write_tar
from thalweg.errors import RejectedError

_ID = re.compile(r"sha256:([0-9a-f]{64})")
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Artifact:
    """A stored file or directory.

    Attributes:
        id: `sha256:` and 64 hex digits of what is stored.
        size_bytes: size of what is stored; for a directory, of its tar.
    """

    id: str
    size_bytes: int


class HashingSink:
    """A write-only binary stream that keeps nothing but a digest and a size."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> int:
        """Take the next bytes in."""
        self._hash.update(data)
        self.size_bytes += len(data)
        return len(data)

    def artifact(self) -> Artifact:
        """What the bytes so far would be stored as."""
        return Artifact(f"sha256:{self._hash.hexdigest()}", self.size_bytes)


def hex_of(artifact_id: str) -> str:
    """The hex digits of an artifact id.

    Raises:
        RejectedError: it is not an artifact id (`artifact.bad_id`).
    """
    match = _ID.fullmatch(artifact_id)
    if match is None:
        raise RejectedError(f"not an artifact id: {artifact_id!r}", code="artifact.bad_id", hint="sha256: and 64 hex digits")
    return match.group(1)


def blocks_of(stream: BinaryIO, size_bytes: int = _READ_BYTES) -> Iterator[bytes]:
    """The rest of a stream, in blocks of one size but for the last."""
    while block := stream.read(size_bytes):
        yield block


def digest_of(path: Path) -> Artifact:
    """What a file or directory is or would be stored as; blocking, reads all of it.

    Raises:
        RejectedError: a directory holds something else than files and directories (`artifact.not_storable`).
    """
    sink = HashingSink()
    if path.is_dir():
        write_tar(path, cast(BinaryIO, sink))
        return sink.artifact()
    with path.open("rb") as stream:
        for block in blocks_of(stream):
            sink.write(block)
    return sink.artifact()
