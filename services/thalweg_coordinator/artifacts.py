"""Local copies of artifacts, for checks that look into them."""

from __future__ import annotations

from pathlib import Path

from thalweg.artifacts import Store
from thalweg.errors import RejectedError
from thalweg.graph.plan import Locate


def local_copies(store: Store) -> Locate:
    """Fetches an artifact into the cache, where it stays; None for one that is not in the store."""

    def locate(artifact: str) -> Path | None:
        try:
            return store.fetch(artifact, "content")
        except RejectedError:
            return None

    return locate
