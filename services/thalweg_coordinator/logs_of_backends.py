"""The operation logs of backends, read once and then only from where they were read to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
from pydantic import Field, ValidationError

from thalweg.api.leases import check_owner
from thalweg.bus.connection import Client
from thalweg.bus.fenced import StaleWriteError
from thalweg.bus.operation_logs import append, last_position, list_logs, read_after, remove_log
from thalweg.errors import RejectedError
from thalweg.graph.backend import Backend
from thalweg.graph.history import Entry, replay
from thalweg.graph.operations import Operation
from thalweg.graph.pipeline import fault_lines

TRIES = 20


class Stored(Entry):
    """An entry as it is stored.

    Attributes:
        restarts: it holds all operations that make the graph from an empty one.
        lease: which owns the backend since this entry; "" for the workspace.
    """

    restarts: bool = Field(False)
    lease: str = ""


@dataclass
class BackendLog:
    """One backend's log as read so far.

    Attributes:
        entries: oldest first.
        head: the graph that they make.
        position: of the last entry in the stream.
    """

    name: str
    entries: list[Stored] = field(default_factory=list)
    head: Backend = field(default_factory=lambda: Backend(backend="x", vertices={}))
    position: int = 0

    def __post_init__(self) -> None:
        self.head = Backend(backend=self.name, vertices={})

    @property
    def revision(self) -> int:
        """The newest; 0 for a backend without a log."""
        return self.entries[-1].sequence if self.entries else 0

    @property
    def lease(self) -> str:
        """Which owns it; "" for the workspace."""
        return self.entries[-1].lease if self.entries else ""

    def take(self, entry: Stored, position: int) -> None:
        """Adds an entry that was read, or appended."""
        if entry.sequence == 1:  # another backend of that name, whose log was removed, may have been read before
            self.entries.clear()
        start = Backend(backend=self.name, vertices={}) if entry.restarts or not self.entries else self.head
        self.head = replay([entry], start)
        self.entries.append(entry)
        self.position = position

    def at(self, revision: int) -> Backend:
        """The graph at a revision.

        Raises:
            RejectedError: `backend.no_revision`.
        """
        if revision == self.revision:
            return self.head
        if not 0 <= revision < self.revision:
            raise RejectedError(
                f"backend {self.name} has no revision {revision}", code="backend.no_revision", hint=f"the newest is {self.revision}"
            )
        upto = [entry for entry in self.entries if entry.sequence <= revision]
        first = next((index for index in range(len(upto) - 1, -1, -1) if upto[index].restarts), 0)
        return replay(upto[first:], Backend(backend=self.name, vertices={}))

    def since(self, revision: int) -> list[Stored]:
        """Entries after a revision."""
        return [entry for entry in self.entries if entry.sequence > revision]

    def edits_since(self, revision: int) -> list[Stored]:
        """Entries after a revision that changed the graph: one that restarts writes down the same graph anew."""
        return [entry for entry in self.since(revision) if not entry.restarts]


Decide = Callable[[BackendLog], Sequence[Operation]]


class LogsOfBackends:
    """All logs of a workspace.

    Args:
        client: NATS connection.
        workspace: whose.
    """

    def __init__(self, client: Client, workspace: str) -> None:
        self._client, self._workspace = client, workspace
        self._logs: dict[str, BackendLog] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def names(self) -> list[str]:
        """Of all backends that have a log."""
        return await list_logs(self._client, self._workspace)

    async def read(self, name: str, *, may_be_new: bool = False) -> BackendLog:
        """A backend's log, up to its end now.

        Raises:
            RejectedError: `backend.unknown`, unless `may_be_new`.
        """
        async with self._locks.setdefault(name, asyncio.Lock()):
            log = self._logs.setdefault(name, BackendLog(name))
            newest = await last_position(self._client, self._workspace, name)
            if not newest:
                log = self._logs[name] = BackendLog(name)
            elif newest != log.position:
                async for position, body in read_after(self._client, self._workspace, name, log.position):
                    log.take(_decode(name, body), position)
        if not log.entries and not may_be_new:
            raise RejectedError(f"there is no backend {name}", code="backend.unknown", hint="`thalweg backend list` shows those there are")
        return log

    async def append(
        self,
        name: str,
        author: str,
        reason: str,
        decide: Decide,
        *,
        may_be_new: bool = False,
        restarts: bool = False,
        lease: str = "",
    ) -> BackendLog:
        """Appends what `decide` makes of the log; where somebody else is faster, it is asked again. Nothing is appended for nothing.

        Args:
            name, author, reason: what to edit, who, why.
            decide: the operations.
            may_be_new: whether it begins a log where there is none.
            restarts: whether they make the graph from an empty one.
            lease: on behalf of which; it must own the backend.

        Raises:
            RejectedError: what `decide` raises; `lease.foreign`; or `backend.busy`, when others are faster again and again.
        """

        def decide_entry(log: BackendLog) -> Stored | None:
            if log.entries:
                check_owner("backend", name, log.lease, lease)
            operations = decide(log)
            if not operations:
                return None
            return Stored(
                sequence=log.revision + 1,
                time_ns=time.time_ns(),
                author=author,
                reason=reason,
                operations=list(operations),
                restarts=restarts,
                lease=lease,
            )

        return await self._append(name, decide_entry, may_be_new=may_be_new)

    async def promote(self, name: str, lease: str) -> None:
        """Makes a lease's backend the workspace's; harmless when it is."""

        def decide_entry(log: BackendLog) -> Stored | None:
            if log.lease != lease:
                return None
            reason = f"promoted out of lease {lease}"
            return Stored(sequence=log.revision + 1, time_ns=time.time_ns(), author=log.entries[-1].author, reason=reason, operations=[])

        await self._append(name, decide_entry, may_be_new=False)

    async def remove(self, name: str) -> None:
        """Removes a backend with its history."""
        await remove_log(self._client, self._workspace, name)
        self._logs.pop(name, None)

    async def _append(self, name: str, decide: Callable[[BackendLog], Stored | None], *, may_be_new: bool) -> BackendLog:
        for _ in range(TRIES):
            log = await self.read(name, may_be_new=may_be_new)
            entry = decide(log)
            if entry is None:
                return log
            try:
                await append(self._client, self._workspace, name, _encode(entry), log.position)
            except StaleWriteError:
                continue
            return await self.read(name)
        raise RejectedError(f"backend {name} is edited by many at once", code="backend.busy", hint="try again")


def _encode(entry: Stored) -> bytes:
    return msgspec.msgpack.encode(entry.model_dump(mode="json"))


def _decode(name: str, body: bytes) -> Stored:
    try:
        return Stored.model_validate(msgspec.msgpack.decode(body))
    except (msgspec.DecodeError, ValidationError) as error:
        what = fault_lines(error)[0] if isinstance(error, ValidationError) else error
        raise RejectedError(f"the log of backend {name} holds what is no entry: {what}", code="backend.damaged") from error
