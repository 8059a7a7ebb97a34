"""Answers calls about component releases."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic import ValidationError

from thalweg.api import components as api
from thalweg.api.calls import Call, Nothing
from thalweg.errors import RejectedError
from thalweg.graph.backend import Backend
from thalweg.graph.fields import is_name
from thalweg.graph.manifest import Manifest
from thalweg.graph.parse import parse_type
from thalweg.graph.pins import newer_versions
from thalweg.graph.pipeline import fault_lines
from thalweg.graph.plan import Inspect, Locate
from thalweg.graph.releases import Releases, version_order
from thalweg.graph.status import status_of
from thalweg.published import Sources, Workers
from thalweg.published.requirements import read_requirements
from thalweg.wire.planned import bound_artifact, spec_of, split
from thalweg_coordinator.api import Handler
from thalweg_coordinator.logs_of_backends import LogsOfBackends
from thalweg_coordinator.stored_releases import StoredReleases

VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)([-+][0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*){0,2}")
MAX_PORTS = 200


class Components:
    """Handlers by call.

    Args:
        stored: the published releases.
        standard: the standard library, whose names nobody can take.
        sources, workers: unpacked archives, and the processes that run their code.
        logs: of all backends.
        inspect, locate: as for `thalweg.graph.plan.check_pipeline`.
    """

    def __init__(
        self,
        stored: StoredReleases,
        standard: Releases,
        sources: Sources,
        workers: Workers,
        logs: LogsOfBackends,
        inspect: Inspect | None,
        locate: Locate | None,
    ) -> None:
        self._stored, self._standard, self._sources, self._workers = stored, standard, sources, workers
        self._logs, self._inspect, self._locate = logs, inspect, locate

    def handlers(self) -> dict[Call[Any, Any], Handler]:
        """By call of `thalweg.api.components`."""
        return {
            api.PUBLISH: self.publish,
            api.RELEASES: self.list_all,
            api.YANK: self.yank,
            api.REHEARSE: self.rehearse,
            api.REHEARSE_PLAN: self.rehearse_plan,
            api.OUTDATED: self.outdated,
        }

    async def publish(self, asked: api.Publish) -> api.Published:
        """Releases what an archive holds, all or, where one of them is refused, none."""
        described = await asyncio.to_thread(self._describe, asked.archive, asked.author)
        await self._stored.refresh()
        for record in described:
            self._check_name(record)
            _unless_other(record, self._stored.view.record(record.full_name))
        found = api.Published(new=[], known=[])
        for record in described:
            kept = await self._stored.change(record.full_name, lambda now, record=record: _unless_other(record, now))  # type: ignore[misc]
            assert kept is not None
            (found.new if kept == record else found.known).append(kept)
        return found

    async def list_all(self, asked: Nothing) -> api.Releases:
        """All published releases."""
        return api.Releases(releases=self._stored.view.records())

    async def yank(self, asked: api.Yank) -> api.Yanked:
        """Says that a release is not to be used any more, or takes it back."""

        def change(now: api.ReleaseRecord | None) -> api.ReleaseRecord | None:
            if now is None:
                hint = "releases of the standard library come and go with Thalweg itself"
                raise RejectedError(f"{asked.component} was not published here", code="release.unknown", hint=hint)
            wanted = None if asked.undo else asked.reason
            return None if wanted == now.yanked else now.model_copy(update={"yanked": wanted})

        record = await self._stored.change(asked.component, change)
        assert record is not None
        pinned = [
            f"{backend.backend}: {name}"
            for backend in await self._backends()
            for name, vertex in backend.vertices.items()
            if vertex.component == asked.component
        ]
        return api.Yanked(release=record, pinned_by=pinned)

    async def rehearse(self, asked: api.Rehearse) -> api.Rehearsal:
        """Validates every stored backend as if it pinned the candidate wherever it has that component."""
        candidate = await self._candidate(asked.component, asked.archive)
        backends = await self._backends()
        rehearsed = [one for backend in backends if (one := await asyncio.to_thread(self._try, backend, candidate)) is not None]
        return api.Rehearsal(
            candidates=list(candidate.names), archive=candidate.archive, backends=rehearsed, untouched=len(backends) - len(rehearsed)
        )

    async def rehearse_plan(self, asked: api.RehearseOne) -> api.Planned:
        """What would be deployed of one backend, with the candidate and without."""
        candidate = await self._candidate(asked.component, asked.archive)
        backend = (await self._logs.read(asked.backend)).head
        return await asyncio.to_thread(self._planned, backend, candidate)

    async def _candidate(self, component: str | None, archive: str | None) -> _Candidate:
        if (component is None) == (archive is None):
            raise RejectedError("component.rehearse: give either a component or an archive", code="request.invalid")
        view = self._stored.view
        if archive is not None:
            records = await asyncio.to_thread(self._describe, archive, "rehearsal")
            for record in records:
                self._check_name(record)
            return _Candidate(view.beside(records), archive, tuple(record.full_name for record in records))
        assert component is not None
        if view.find(*component.split("@", 1)) is None:
            raise RejectedError(f"there is no release {component}", code="release.unknown")
        known = view.record(component)
        return _Candidate(view, known.archive if known else "", (component,))

    async def outdated(self, asked: api.AskOutdated) -> api.OutdatedListed:
        """Vertices that pin a yanked release, or one that has newer versions."""
        view = self._stored.view
        backends = await self._backends() if asked.backend is None else [(await self._logs.read(asked.backend)).head]
        found: list[api.Outdated] = []
        for backend in backends:
            for name, vertex in backend.vertices.items():
                release = view.find(*vertex.component.split("@", 1)) if "@" in vertex.component else None
                newer, yanked = newer_versions(vertex.component, view) if release else [], release.yanked if release else None
                if newer or yanked is not None:
                    line = api.Outdated(backend=backend.backend, vertex=name, component=vertex.component, newer=newer, yanked=yanked)
                    found.append(line)
        return api.OutdatedListed(vertices=found)

    async def _backends(self) -> list[Backend]:
        return [(await self._logs.read(name)).head for name in await self._logs.names()]

    def _try(self, backend: Backend, candidate: _Candidate) -> api.Rehearsed | None:
        touched = candidate.touched(backend)
        if not touched:
            return None
        before = self._faults(backend, self._stored.view)
        after = self._faults(_pinning(backend, touched), candidate.view)
        return api.Rehearsed(backend=backend.backend, vertices=list(touched), faults=[one for one in after if one not in before])

    def _planned(self, backend: Backend, candidate: _Candidate) -> api.Planned:
        both: list[str] = []
        for graph, view in ((backend, self._stored.view), (_pinning(backend, candidate.touched(backend)), candidate.view)):
            status = status_of(graph, view, None, self._inspect, self._locate)
            if not status.is_deployable:
                return api.Planned(pinned="[]", candidate="[]")
            specs = [spec_of(one, {slot: bound_artifact(str(file)) for slot, file in one.files.items()}) for one in status.plan.vertices]
            both.append(msgspec.json.encode(split(specs, status.plan.vertices)).decode())
        return api.Planned(pinned=both[0], candidate=both[1])

    def _faults(self, backend: Backend, releases: Releases) -> list[str]:
        status = status_of(backend, releases, None, self._inspect, self._locate)
        return [str(fault) for part in (status.whole, *status.vertices.values(), *status.edges.values()) for fault in part.reasons]

    def _describe(self, archive: str, author: str) -> list[api.ReleaseRecord]:
        """What an archive holds, by its own code in a process of its own. Blocking."""
        requirements = read_requirements(self._sources.folder_of(archive))
        described = self._workers.ask(archive, "describe")
        try:
            records = [
                api.ReleaseRecord(
                    manifest=Manifest.model_validate({**one["manifest"], "archive": archive}),
                    archive=archive,
                    requirements=requirements,
                    is_static=one["is_static"],
                    author=author,
                    time_ns=time.time_ns(),
                )
                for one in described
            ]
        except (ValidationError, KeyError, TypeError) as error:  # the worker's process is the author's
            what = "; ".join(fault_lines(error)) if isinstance(error, ValidationError) else repr(error)
            raise RejectedError(f"the manifest of the release is not valid: {what}", code="release.invalid") from error
        for record in records:
            _check_manifest(record.manifest)
        return records

    def _check_name(self, record: api.ReleaseRecord) -> None:
        if self._standard.versions(record.manifest.name):
            raise RejectedError(
                f"{record.full_name}: {record.manifest.name} is a component of the standard library",
                code="release.name_taken",
                hint="give it another name",
            )


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Releases to try: where they are found beside the others, the archive of their source, their full names."""

    view: Releases
    archive: str
    names: tuple[str, ...]

    def touched(self, backend: Backend) -> dict[str, str]:
        """The vertices of a backend that have a candidate's component, and which candidate that is: the latest."""
        latest = {full.partition("@")[0]: full for full in sorted(self.names, key=lambda full: version_order(full.partition("@")[2]))}
        return {name: latest[short] for name, one in backend.vertices.items() if (short := one.component.partition("@")[0]) in latest}


def _pinning(backend: Backend, touched: Mapping[str, str]) -> Backend:
    vertices = {
        name: one.model_copy(update={"component": touched[name], "digest": None}) if name in touched else one
        for name, one in backend.vertices.items()
    }
    return backend.replace(vertices=vertices)


def _unless_other(record: api.ReleaseRecord, now: api.ReleaseRecord | None) -> api.ReleaseRecord | None:
    """The record to write; None when the same content is published already."""
    if now is None:
        return record
    if now.manifest.digest == record.manifest.digest:
        return None
    raise RejectedError(
        f"{record.full_name} was published with other content by {now.author}",
        code="release.exists",
        hint="a release never changes: raise the version",
        published=now.manifest.digest,
        given=record.manifest.digest,
    )


def _check_manifest(manifest: Manifest) -> None:
    if not is_name(manifest.name):
        raise RejectedError(
            f"{manifest.name[:80]!r} cannot name a component", code="release.invalid", hint="use letters, digits, '-' or '_'"
        )
    if VERSION.fullmatch(manifest.version) is None or len(manifest.version) > 63:
        raise RejectedError(
            f"{manifest.name}: {manifest.version[:80]!r} is no version", code="release.version", hint="as in 1.0.0 or 2.1.0-rc.1"
        )
    ports = {**manifest.inputs, **manifest.outputs}
    if len(ports) > MAX_PORTS or not all(map(is_name, (*ports, *manifest.file_schema, *manifest.generated_file_schema, *manifest.secrets))):
        raise RejectedError(f"{manifest.name}: ports and slots cannot have such names", code="release.invalid")
    for text in ports.values():
        parse_type(text)
    if "/" in manifest.code or not manifest.code.endswith(".py") or re.fullmatch("sha256:[0-9a-f]{64}", manifest.digest) is None:
        raise RejectedError(f"{manifest.name}: its manifest names no code", code="release.invalid")
