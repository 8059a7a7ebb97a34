"""The component releases that a command can use: local ones, and published ones where there is a coordinator to ask."""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thalweg.graph.releases import Releases
    from thalweg.sdk.catalog import Catalog


def catalog_of(components: Sequence[Path]) -> Catalog:
    """The standard library, and components of the user's own: those of the settings, and given ones."""
    from thalweg.sdk.catalog import Catalog
    from thalweg.settings import load_settings

    return Catalog(paths=(*load_settings().components, *components))


def releases_at_hand(components: Sequence[Path], as_json: bool, *, needed: bool = False) -> Releases:
    """Those of the catalog, and published ones where there is a coordinator to ask."""
    from thalweg_cli.component import published

    records = published(as_json, needed=needed)
    catalog = catalog_of(components)
    if not records:
        return catalog
    from thalweg.published import Environments, Sources, Workers
    from thalweg.published.releases import PublishedReleases
    from thalweg.settings import load_settings
    from thalweg_cli.bindings import open_store

    def fetch(archive: str) -> Path:
        return Path(open_store().fetch(archive, "archive.tar"))

    data = load_settings().data.absolute()
    workers = Workers(Sources(fetch, data / "cache" / "releases"), Environments(data / "environments"))
    atexit.register(workers.close)
    return PublishedReleases(catalog, workers, records)
