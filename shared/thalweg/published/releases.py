"""Published releases as validation asks for them: manifests out of their records, checks in the worker of their archive."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from thalweg.api.components import ReleaseRecord
from thalweg.errors import ThalwegError
from thalweg.graph.parse import parse_type
from thalweg.graph.releases import ParamFault, Release, Releases, version_order
from thalweg.graph.types import StreamType, format_type
from thalweg.published.workers import Workers


class PublishedRelease:
    """Implements `thalweg.graph.releases.Release` over a record."""

    def __init__(self, record: ReleaseRecord, workers: Workers) -> None:
        self.record, self._workers = record, workers
        self.manifest = record.manifest
        self.yanked = record.yanked

    def check_params(self, params: dict[str, Any]) -> tuple[dict[str, Any], list[ParamFault]]:
        """As the component's model says; that the code cannot be asked is a fault, too."""
        if self.record.is_static:
            return {}, [ParamFault(name, "this component has no params") for name in params]
        try:
            found = self._workers.ask(self.record.archive, "check", component=self.record.full_name, code=self.manifest.code, params=params)
            faults = [ParamFault(str(path), str(message), bool(missing)) for path, message, missing in found["faults"]]
            return dict(found["params"]), faults
        except ThalwegError as error:
            return {}, [ParamFault("", str(error))]
        except (KeyError, TypeError, ValueError):  # the worker's process is the author's
            return {}, [ParamFault("", "its code gives no answer that can be read")]

    def resolve(self, params: dict[str, Any], inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """As the component's `resolve_types` says."""
        if self.record.is_static:
            return {port: parse_type(text) for port, text in self.manifest.outputs.items()}
        found = self._workers.ask(
            self.record.archive,
            "resolve",
            component=self.record.full_name,
            code=self.manifest.code,
            params=params,
            inputs={port: format_type(kind) for port, kind in inputs.items()},
            files={slot: str(path) for slot, path in files.items()},
        )
        return {port: parse_type(text) for port, text in found.items()}


class PublishedReleases:
    """Implements `thalweg.graph.releases.Releases`: published ones, and those of a catalog.

    Args:
        catalog: the standard library, and a user's own folders.
        workers: run the code of published ones.
        records: the published ones.
    """

    def __init__(self, catalog: Releases, workers: Workers, records: Iterable[ReleaseRecord] = ()) -> None:
        self._catalog, self._workers = catalog, workers
        self._records = {one.full_name: one for one in records}

    def take(self, record: ReleaseRecord) -> None:
        """A record that is new, or was changed."""
        self._records[record.full_name] = record

    def records(self) -> list[ReleaseRecord]:
        """Of all published releases, by name and then version."""
        return sorted(self._records.values(), key=lambda one: (one.manifest.name, version_order(one.manifest.version)))

    def record(self, full_name: str) -> ReleaseRecord | None:
        """Of one published release."""
        return self._records.get(full_name)

    def beside(self, candidates: Iterable[ReleaseRecord]) -> PublishedReleases:
        """These, with others in place of published ones of the same name and version."""
        return PublishedReleases(self._catalog, self._workers, [*self._records.values(), *candidates])

    def names(self) -> list[str]:
        """Every `name@version`."""
        return sorted({*self._catalog.names(), *self._records})

    def versions(self, name: str) -> list[str]:
        """Versions of a component, the latest last."""
        published = {one.manifest.version for one in self._records.values() if one.manifest.name == name}
        return sorted({*self._catalog.versions(name), *published}, key=version_order)

    def find(self, name: str, version: str) -> Release | None:
        """The release, or None. A local one goes before a published one: who works on a component tries what is at hand."""
        local, record = self._catalog.find(name, version), self._records.get(f"{name}@{version}")
        return PublishedRelease(record, self._workers) if local is None and record is not None else local
