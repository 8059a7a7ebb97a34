"""Local copies of artifacts, for checks that look into them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from thalweg.artifacts import Store
from thalweg.errors import RejectedError
from thalweg.graph.plan import Locate
from thalweg.published.archive import MAX_BYTES

COPY = "content"  # name of every local copy, so that there is one


LocateFor = Callable[[str], Locate]
"""What a lease can see; the workspace for ""."""


def local_copies(store: Store, lease: str = "") -> Locate:
    """Fetches an artifact into the cache, where it stays; None for one that the lease does not see in the store."""
    store = store.of_lease(lease)

    def locate(artifact: str) -> Path | None:
        try:
            # The cache may hold what was removed from the store.
            return store.fetch(artifact, COPY) if store.exists(artifact) else None
        except RejectedError:
            return None

    return locate


def local_archives(store: Store) -> Callable[[str], Path]:
    """Fetches the archive of a release; one that is far too large is refused before it is fetched."""

    def fetch(archive: str) -> Path:
        size = store.stored_size(archive)
        if size is None:
            raise RejectedError(f"there is no archive {archive}", code="artifact.unknown")
        if size > 2 * MAX_BYTES:
            raise RejectedError(f"the release's archive: {size:,} bytes; {MAX_BYTES:,} are allowed", code="release.archive")
        return store.fetch(archive, "archive.tar")

    return fetch
