"""Answers calls about backends, from their operation logs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from thalweg.api import backends as api
from thalweg.api.calls import Call, Nothing
from thalweg.errors import RejectedError
from thalweg.graph.backend import Backend
from thalweg.graph.difference import compact, diff, invert, render
from thalweg.graph.draft import read_draft
from thalweg.graph.history import Entry, rebase
from thalweg.graph.operations import Operation, apply
from thalweg.graph.pins import pin_digests, pin_latest, yanked_pins
from thalweg.graph.pipeline import Pipeline
from thalweg.graph.plan import Inspect, Plan
from thalweg.graph.releases import Releases
from thalweg.graph.status import Part, Status, status_of
from thalweg_coordinator.api import Handler
from thalweg_coordinator.artifacts import LocateFor
from thalweg_coordinator.logs_of_backends import BackendLog, Decide, LogsOfBackends, Stored
from thalweg_coordinator.secrets import Secrets

STATUS_AGE_S = 10.0


class Backends:
    """Handlers by call.

    Args:
        logs: the operation logs.
        releases: where components are found.
        inspect: as for `thalweg.graph.plan.check_pipeline`.
        locate_for: likewise, as the owner of a backend sees files.
        secrets: which of those that are bound have a value.
    """

    def __init__(self, logs: LogsOfBackends, releases: Releases, inspect: Inspect, locate_for: LocateFor, secrets: Secrets) -> None:
        self._logs, self._releases, self._inspect, self._locate_for = logs, releases, inspect, locate_for
        self._secrets = secrets
        self._known: dict[tuple[str, str], tuple[float, Status]] = {}

    def handlers(self) -> dict[Call[Any, Any], Handler]:
        """By call of `thalweg.api.backends`."""
        return {
            api.EDIT: self.edit,
            api.APPLY: self.apply,
            api.UNDO: self.undo,
            api.CHECKOUT: self.checkout,
            api.COMPACT: self.compact,
            api.SHOW: self.show,
            api.LIST: self.list_all,
            api.LOG: self.log,
            api.DIFF: self.diff,
        }

    def forget(self) -> None:
        """The releases have changed: what was found of graphs may not be so any more."""
        self._known.clear()

    async def edit(self, asked: api.Edit) -> api.Edited:
        """Appends operations; those made on an older revision are rebased."""

        def decide(log: BackendLog) -> Sequence[Operation]:
            _refuse_beginning(log, asked)
            revision = log.revision if asked.revision is None else asked.revision
            start = log.at(revision)
            rebase(asked.operations, log.edits_since(revision), start)
            return [*asked.operations, *self._digests_after(apply(log.head, asked.operations))]

        return await self._append(asked, decide, may_be_new=True)

    async def apply(self, asked: api.Apply) -> api.Edited:
        """Turns the backend into a pipeline file."""
        draft = read_draft({**asked.document, "backend": asked.backend}, "the pipeline file")
        if draft.pipeline is None or draft.faults:
            Plan(Pipeline(backend=asked.backend), list(draft.faults)).raise_if_faulty()
        assert draft.pipeline is not None  # else it has faults
        wanted = Backend.read(draft.pipeline)
        if asked.pin_latest:
            wanted = apply(wanted, pin_latest(wanted, self._releases))
        wanted = apply(wanted, pin_digests(wanted, self._releases))
        if asked.dry_run:
            log = await self._logs.read(asked.backend, may_be_new=True)
            return await self._edited(log, log.head, wanted)
        return await self._append(asked, lambda log: diff(log.head, wanted), may_be_new=True)

    async def undo(self, asked: api.GoTo) -> api.Edited:
        """Appends the inverse of one entry."""

        def decide(log: BackendLog) -> Sequence[Operation]:
            entry = _entry(log, asked.revision)
            before, after = log.at(asked.revision - 1), log.at(asked.revision)
            inverse = diff(after, before) if entry.restarts else invert(before, entry.operations)
            if inverse:
                rebase(inverse, log.edits_since(asked.revision), after)
            return inverse

        return await self._append(asked, decide)

    async def checkout(self, asked: api.GoTo) -> api.Edited:
        """Makes the graph what it was at a revision, as a new one."""
        return await self._append(asked, lambda log: diff(log.head, log.at(asked.revision)))

    async def compact(self, asked: api.Signed) -> api.Edited:
        """Writes the shortest history of the same graph; what was before stays readable."""
        signed = asked.backend, asked.author, asked.reason
        log = await self._logs.append(*signed, lambda log: compact(log.head), restarts=True, lease=asked.owner)
        return await self._edited(log, log.head, log.head)

    async def show(self, asked: api.Which) -> api.Shown:
        """A backend at a revision."""
        log = await self._logs.read(asked.backend)
        revision = log.revision if asked.revision is None else asked.revision
        backend = log.at(revision)
        status = await self._status(backend, log.lease)
        return api.Shown(
            backend=asked.backend,
            revision=revision,
            newest=log.revision,
            digest=backend.digest(),
            lease=log.lease,
            document=backend.document(),
            vertices=[_part(name, part) for name, part in status.vertices.items()],
            edges=[_part(name, part) for name, part in status.edges.items()],
            faults=[str(fault) for fault in status.whole.reasons],
            warnings=await self._warnings(backend, log.lease),
            deployable=status.is_deployable,
        )

    async def list_all(self, asked: Nothing) -> api.Listed:
        """All backends."""
        return api.Listed(backends=[await self._summary(name) for name in await self._logs.names()])

    async def log(self, asked: api.History) -> api.Logged:
        """Entries of a log."""
        log = await self._logs.read(asked.backend)
        restart = max((entry.sequence for entry in log.entries if entry.restarts), default=0)
        found = [entry for entry in log.since(asked.after) if asked.all or entry.sequence >= restart]
        plain = [Entry.model_validate(entry.model_dump(exclude={"restarts", "lease"})) for entry in found[: asked.limit]]
        return api.Logged(entries=plain, more=len(found) > asked.limit)

    async def diff(self, asked: api.Compare) -> api.Compared:
        """What is different between two revisions."""
        log = await self._logs.read(asked.backend)
        old, new = log.at(asked.old), log.at(log.revision if asked.new is None else asked.new)
        return api.Compared(lines=render(old, new), operations=diff(old, new))

    async def _append(self, asked: api.Signed, decide: Decide, *, may_be_new: bool = False) -> api.Edited:
        before = (await self._logs.read(asked.backend, may_be_new=may_be_new)).head
        log = await self._logs.append(asked.backend, asked.author, asked.reason, decide, may_be_new=may_be_new, lease=asked.owner)
        return await self._edited(log, before, log.head)

    async def _edited(self, log: BackendLog, before: Backend, after: Backend) -> api.Edited:
        status = await self._status(after, log.lease)
        parts = (status.whole, *status.vertices.values(), *status.edges.values())
        return api.Edited(
            backend=log.name,
            revision=log.revision,
            digest=after.digest(),
            changes=render(before, after),
            deployable=status.is_deployable,
            faults=[str(fault) for part in parts for fault in part.reasons],
            warnings=await self._warnings(after, log.lease),
        )

    async def _warnings(self, backend: Backend, lease: str) -> list[str]:
        bound = {name: vertex.secrets for name, vertex in backend.vertices.items()}
        return yanked_pins(backend, self._releases) + await self._secrets.unset(bound, lease)

    async def _summary(self, name: str) -> api.Summary:
        log = await self._logs.read(name)
        states = [part.state for part in _parts(await self._status(log.head, log.lease))]
        return api.Summary(
            backend=name,
            revision=log.revision,
            digest=log.head.digest(),
            vertices=len(log.head.vertices),
            edges=len(log.head.edges),
            state=next((state for state in ("invalid", "incomplete") if state in states), "complete"),
            author=log.entries[-1].author,
            time_ns=log.entries[-1].time_ns,
            lease=log.lease,
        )

    async def _status(self, backend: Backend, lease: str) -> Status:
        """Not older than a few seconds: an artifact that it needs may have gone meanwhile."""
        key, now = (backend.digest(), lease), time.monotonic()
        known = self._known.get(key)
        if known is None or now - known[0] > STATUS_AGE_S:
            self._known = {one: found for one, found in self._known.items() if now - found[0] <= STATUS_AGE_S}
            known = now, await asyncio.to_thread(status_of, backend, self._releases, None, self._inspect, self._locate_for(lease))
            self._known[key] = known
        return known[1]

    def _digests_after(self, backend: Backend) -> list[Operation]:
        return pin_digests(backend, self._releases)


def _refuse_beginning(log: BackendLog, asked: api.Edit) -> None:
    if asked.revision == 0 and log.entries:
        raise RejectedError(f"there is a backend {asked.backend} already", code="backend.exists", hint=f"its revision is {log.revision}")


def _entry(log: BackendLog, revision: int) -> Stored:
    log.at(revision)
    found = next((entry for entry in log.entries if entry.sequence == revision), None)
    if found is None:
        raise RejectedError(f"backend {log.name} has no revision {revision}", code="backend.no_revision")
    return found


def _parts(status: Status) -> list[Part]:
    return [status.whole, *status.vertices.values(), *status.edges.values()]


def _part(name: str, part: Part) -> api.PartStatus:
    return api.PartStatus(name=name, state=part.state, reasons=[str(fault) for fault in part.reasons])
