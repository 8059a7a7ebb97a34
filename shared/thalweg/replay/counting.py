"""Counts how the records of a port differ between two runs: by their ids, in memory that grows with the differences alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from itertools import zip_longest
from typing import Any

from thalweg.replay.reader import Record, Recording

MAX_WAITING = 1 << 20


@dataclass(frozen=True, slots=True)
class PortChange:
    """One port in two runs.

    Attributes:
        vertex, port: which.
        before, after: how many records each run has.
        added, missing: records whose id only the second run has, or only the first.
        changed: records of the same id with another value or event time.
        moved: records that are the same, but came in another order.
        is_exact: False where more differ than is kept in mind: what has moved far counts as missing and added then.
    """

    vertex: str
    port: str
    before: int
    after: int
    added: int = 0
    missing: int = 0
    changed: int = 0
    moved: int = 0
    is_exact: bool = True

    @property
    def is_same(self) -> bool:
        """Whether the port has put out the same."""
        return not (self.added or self.missing or self.changed or self.moved)

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {**asdict(self), "same": self.is_same}

    def line(self) -> str:
        """The same for people."""
        if self.is_same:
            return f"{self.vertex}.{self.port}: {self.before:,} records, the same"
        said = [f"{count:,} {name}" for name in ("missing", "added", "changed") if (count := getattr(self, name))]
        what = ", ".join(said) or "the same in another order"
        counts = f"{self.before:,} records, now {self.after:,}" if self.before != self.after else f"{self.before:,} records"
        return f"{self.vertex}.{self.port}: {counts}: {what}" + ("" if self.is_exact else " (more than are matched)")


def port_changes(
    before: Recording, after: Recording, ports: Sequence[tuple[str, str]], by_number: Collection[tuple[str, str]] = ()
) -> list[PortChange]:
    """How each port differs; one that a run does not have has no records there. Those of `by_number` have only to have as many."""
    found = [count_changes(vertex, port, before.records(vertex, port), after.records(vertex, port)) for vertex, port in ports]
    return [_by_number(one) if (one.vertex, one.port) in by_number else one for one in found]


def _by_number(change: PortChange) -> PortChange:
    more = change.after - change.before
    return PortChange(change.vertex, change.port, change.before, change.after, max(0, more), max(0, -more))


def count_changes(vertex: str, port: str, before: Iterable[Record], after: Iterable[Record]) -> PortChange:
    """How the records of a port differ."""
    return _Matching().run(vertex, port, before, after)


class _Waiting:
    """Records of one run that the other has not brought yet: what they hold, by id, in order."""

    def __init__(self) -> None:
        self.by_id: dict[int, deque[bytes]] = {}
        self.count = 0

    def take(self, record_id: int) -> bytes | None:
        found = self.by_id.get(record_id)
        if found is None:
            return None
        self.count -= 1
        held = found.popleft()
        if not found:
            del self.by_id[record_id]
        return held

    def put(self, record: Record) -> None:
        self.by_id.setdefault(record.record_id, deque()).append(_held(record))
        self.count += 1


class _Matching:
    def __init__(self) -> None:
        self.old, self.new = _Waiting(), _Waiting()
        self.missing = self.added = self.changed = self.moved = 0
        self.is_exact = True

    def run(self, vertex: str, port: str, before: Iterable[Record], after: Iterable[Record]) -> PortChange:
        old_count = new_count = 0
        for one, other in zip_longest(before, after):
            old_count += one is not None
            new_count += other is not None
            self.match(one, other)
        self.give_up()
        added, missing, changed = self.added, self.missing, self.changed
        moved = 0 if added or missing or changed else self.moved  # else most have moved only because others are gone
        return PortChange(vertex, port, old_count, new_count, added, missing, changed, moved, self.is_exact)

    def match(self, one: Record | None, other: Record | None) -> None:
        is_pair = one is not None and other is not None and one.record_id == other.record_id
        if is_pair and one is not None and other is not None and not self.is_waited_for(one.record_id):
            self.changed += (one.packed, one.time_ns) != (other.packed, other.time_ns)
            return
        if one is not None:
            self.look(one, self.new, self.old)
        if other is not None:
            self.look(other, self.old, self.new)
        if max(self.old.count, self.new.count) > MAX_WAITING:
            self.is_exact = False
            self.give_up()

    def is_waited_for(self, record_id: int) -> bool:
        return record_id in self.old.by_id or record_id in self.new.by_id

    def look(self, record: Record, theirs: _Waiting, own: _Waiting) -> None:
        held = theirs.take(record.record_id)
        if held is None:
            own.put(record)
        elif held == _held(record):
            self.moved += 1
        else:
            self.changed += 1

    def give_up(self) -> None:
        self.missing += self.old.count
        self.added += self.new.count
        self.old, self.new = _Waiting(), _Waiting()


def _held(record: Record) -> bytes:
    return blake2b(record.time_ns.to_bytes(8, "little", signed=True) + record.packed, digest_size=16).digest()
