"""Finds the first record at which two runs of the same differ: on the most upstream port that differs, the first in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import zip_longest
from typing import Any

from thalweg.replay.reader import Record, Recording
from thalweg.replay.showing import decode, plain, where_they_differ
from thalweg.wire.spec import DeploymentSpec


@dataclass(frozen=True, slots=True)
class Shown:
    """One record as people see it."""

    time_ns: int
    record_id: int
    value: Any


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two runs part.

    Attributes:
        vertex, port: on which output.
        index: how many records before it are the same.
        before, after: what the runs have there; None where one has ended.
        where: what in the record differs; None where the values say it.
    """

    vertex: str
    port: str
    index: int
    before: Shown | None
    after: Shown | None
    where: str | None

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        sides = {"before": self.before, "after": self.after}
        shown = {
            name: None if one is None else {"time_ns": one.time_ns, "id": one.record_id, "value": one.value} for name, one in sides.items()
        }
        kind = "missing" if self.after is None else "added" if self.before is None else "changed"
        return {"vertex": self.vertex, "port": self.port, "index": self.index, "kind": kind, **shown, "where": self.where}

    def lines(self) -> list[str]:
        """The same for people."""
        head = f"the first record that differs: {self.vertex}.{self.port}, record {self.index:,} (from 0)"
        told = [f"  was {_line(self.before)}", f"  now {_line(self.after)}"]
        return [head, *told, *([f"  {self.where}"] if self.where else [])]


def upstream_first(spec: DeploymentSpec) -> list[tuple[str, str]]:
    """(vertex, port) of every output, those that others depend on first."""
    sorter = TopologicalSorter({one.name: [edge.src_vertex for edge in one.inputs] for one in spec.vertices})
    try:
        order = list(sorter.static_order())
    except CycleError:
        order = [one.name for one in spec.vertices]
    outputs = {one.name: one.outputs for one in spec.vertices}
    return [(name, port) for name in order for port in outputs.get(name, ())]


def first_difference(before: Recording, after: Recording, ports: Sequence[tuple[str, str]]) -> Difference | None:
    """The first record that differs, on the first of the ports that has one; None where none has."""
    for vertex, port in ports:
        pairs = zip_longest(before.records(vertex, port), after.records(vertex, port))
        for index, (old, new) in enumerate(pairs):
            if old is None or new is None or (old.packed, old.time_ns) != (new.packed, new.time_ns):
                return _difference(vertex, port, index, old, new)
    return None


def _difference(vertex: str, port: str, index: int, old: Record | None, new: Record | None) -> Difference:
    where = None
    if old is not None and new is not None:
        where = where_they_differ(decode(old.packed), decode(new.packed))
        if old.packed == new.packed:
            where = f"event time: {old.time_ns}, now {new.time_ns} (ns)"
    return Difference(vertex, port, index, _shown(old), _shown(new), where)


def _shown(record: Record | None) -> Shown | None:
    return None if record is None else Shown(record.time_ns, record.record_id, plain(decode(record.packed)))


def _line(shown: Shown | None) -> str:
    return "missing: it has ended before" if shown is None else f"{shown.value!r}  at {shown.time_ns} ns"
