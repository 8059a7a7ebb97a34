"""The operation log: its entries, the graph that they make, and whether a late edit still fits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from pydantic import Field

from thalweg.errors import RejectedError
from thalweg.graph.backend import Backend
from thalweg.graph.edit import Place, Touches
from thalweg.graph.fields import Line, Strict
from thalweg.graph.operations import Operation, apply

MAX_OPERATIONS = 5_000
MAX_TIME_NS = 1 << 63


class Entry(Strict):
    """One entry of a backend's log: operations that were applied all or none. Its sequence is the revision that it made."""

    sequence: int = Field(ge=1)
    time_ns: int = Field(ge=0, lt=MAX_TIME_NS)
    author: Line = Field(min_length=1)
    reason: Line = ""
    operations: list[Operation] = Field(max_length=MAX_OPERATIONS)  # none where the backend got another owner

    def __str__(self) -> str:
        at = datetime.fromtimestamp(self.time_ns // 1_000_000_000, UTC).isoformat().replace("+00:00", "Z")
        return f"revision {self.sequence} by {self.author} at {at}" + (f" ({self.reason})" if self.reason else "")


def replay(entries: Iterable[Entry], start: Backend) -> Backend:
    """The backend that entries make of another one, an empty one for a whole log.

    Raises:
        RejectedError: `history.out_of_order`, or an operation does not fit: the log is not one of this backend.
    """
    last = 0
    for entry in entries:
        if entry.sequence <= last:
            raise RejectedError(f"{entry} comes after revision {last}", code="history.out_of_order", sequence=entry.sequence)
        last, start = entry.sequence, apply(start, entry.operations)
    return start


def rebase(operations: Sequence[Operation], since: Iterable[Entry], start: Backend) -> Backend:
    """The backend after an edit that was made on an older revision; the operations go through unchanged.

    Args:
        operations: the late edit.
        since: what was appended after the revision that it was made on.
        start: the backend at that revision.

    Raises:
        RejectedError: `operation.conflict`, when both touch the same; or the edit does not even fit its own revision.
    """
    late: dict[Place, list[tuple[Operation, Touches]]] = {}  # by what every clash has in common: the kind of part, and its name
    for operation, touches, _ in _walk(operations, start):
        for head in touches.heads():
            late.setdefault(head, []).append((operation, touches))
    for entry in since:
        for theirs, touched, after in _walk(entry.operations, start):
            for operation, touches in (one for head in touched.heads() for one in late.get(head, ())):
                if place := touches.clash(touched):
                    raise _conflict(operation, theirs, entry, place)
            start = after
    return apply(start, operations)


def _walk(operations: Iterable[Operation], backend: Backend) -> Iterator[tuple[Operation, Touches, Backend]]:
    """Each operation with what it touches where it applies, and the backend after it."""
    for operation in operations:
        after = operation.apply(backend)
        yield operation, operation.touches(backend), after
        backend = after


def _conflict(mine: Operation, theirs: Operation, entry: Entry, place: Place) -> RejectedError:
    kind, name, *inner = place
    where = " ".join([kind, name, ".".join(inner)]).strip()
    return RejectedError(
        f"{where} was changed since: {theirs.describe()}, {entry}; your edit: {mine.describe()}",
        code="operation.conflict",
        hint="look at the newer revision, and make the edit on it if it still is what you want",
        place=list(place),
        sequence=entry.sequence,
        author=entry.author,
        time_ns=entry.time_ns,
        reason=entry.reason,
        theirs=theirs.describe(),
        mine=mine.describe(),
    )
