"""Follows one record back to what it comes from and forward to what it has become, step by step."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from thalweg.errors import RejectedError
from thalweg.replay.lineage import MAX_LISTED, Lineage, Link, Place
from thalweg.replay.reader import Replay
from thalweg.replay.showing import decode, plain

MAX_STEPS = 200  # in each direction
_PLACE = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+):(\d{1,15})")


@dataclass(frozen=True, slots=True)
class Step:
    """A record on the way, or the end of one.

    Attributes:
        depth: steps from the record that was asked for.
        vertex: which has it put out, or read it and put out nothing.
        release: of the vertex.
        place: the record; None where the way ends.
        record_id, time_ns, value: of it.
        is_certain: it is known to belong here.
        how: why it belongs here, or why the way ends.
    """

    depth: int
    vertex: str
    release: str
    place: Place | None
    record_id: int = 0
    time_ns: int = 0
    value: Any = None
    is_certain: bool = True
    how: str = ""

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        told: dict[str, Any] = {"depth": self.depth, "vertex": self.vertex, "release": self.release, "certain": self.is_certain}
        told |= {"how": self.how}
        if self.place is not None:
            told |= {"port": self.place.port, "index": self.place.index, "id": f"{self.record_id:016x}", "time_ns": self.time_ns}
            told |= {"value": plain(self.value)}
        return told


@dataclass(frozen=True, slots=True)
class Trace:
    """The record, what it comes from, what it has become; both in the order of the way."""

    record: Step
    back: list[Step]
    forward: list[Step]


def find_place(lineage: Lineage, text: str) -> Place:
    """The record that is meant by its id (16 hex digits, or a number), or `vertex.port:index`. Of an id, the last port that has it.

    Raises:
        RejectedError: `record.unknown`.
    """
    if (found := _PLACE.fullmatch(text)) is not None:
        place = Place(found[1], found[2], int(found[3]))
        if lineage.has(place):
            return place
    elif re.fullmatch(r"[0-9a-f]{16}|\d{1,20}", text):
        places = lineage.places_of(int(text, 16 if len(text) == 16 else 10))
        if places:
            return max(places, key=lambda one: list(lineage.vertices).index(one.vertex))
    hint = "a record's id as `replay export` and `tap --json` show it, or vertex.port:index"
    raise RejectedError(f"there is no record {text}", code="record.unknown", hint=hint)


def trace(replay: Replay, lineage: Lineage, place: Place) -> Trace:
    """Follows a record. Blocking."""
    walk = _Walk(replay, lineage)
    (record,) = walk.steps([(place, Link([place], 1, True, "", place.vertex))], 0)
    return Trace(record, walk.follow(record, walk.parents), walk.follow(record, walk.children))


def _of(step: Step) -> Place:
    assert step.place is not None
    return step.place


class _Walk:
    def __init__(self, replay: Replay, lineage: Lineage) -> None:
        self._replay, self._lineage = replay, lineage
        self._windows: dict[str, list[tuple[Place, tuple[int, int]]]] = {}

    def follow(self, record: Step, links: Callable[[Step], list[Link]]) -> list[Step]:
        """All that is reached, nearest first, each record once."""
        found: list[Step] = []
        level, seen, depth = [record], {record.place}, 0
        while level and len(found) < MAX_STEPS:
            depth += 1
            reached: list[tuple[Place | None, Link]] = []
            for link in (link for step in level for link in links(step)):
                reached += [(place, link) for place in link.places] or [(None, link)]
            fresh = [(place, link) for place, link in reached if place is None or place not in seen]
            steps = self.steps(fresh[: MAX_STEPS - len(found)], depth)
            found += steps
            level = [one for one in steps if one.place is not None and one.place not in seen]
            seen |= {one.place for one in level}
        return found

    def parents(self, step: Step) -> list[Link]:
        return self._lineage.back(_of(step), _window(step.value))

    def children(self, step: Step) -> list[Link]:
        return [self._in_windows(link, step.time_ns) for link in self._lineage.forward(_of(step))]

    def _in_windows(self, link: Link, time_ns: int) -> Link:
        """What has summed the record up, where nothing has its id and the vertex says which times it sums up."""
        if link.places or link.is_certain:
            return link
        found = [place for place, (start, end) in self._windows_of(link.vertex) if start <= time_ns < end]
        how = f"one of {len(found):,} whose window it is in"
        return Link(found[:MAX_LISTED], len(found), False, how, link.vertex) if found else link

    def _windows_of(self, vertex: str) -> list[tuple[Place, tuple[int, int]]]:
        """Records of a vertex that say which times they sum up; read once."""
        if vertex not in self._windows:
            self._windows[vertex] = []
            for port in self._lineage.vertices[vertex].outputs:
                for record in self._replay.records(vertex, port):
                    window = _window(decode(record.packed))
                    if window is None:
                        break  # neither have the others of this port
                    self._windows[vertex].append((Place(vertex, port, record.index), window))
        return self._windows[vertex]

    def steps(self, found: Iterable[tuple[Place | None, Link]], depth: int) -> list[Step]:
        """With their values, which are read in one go for each port."""
        given = list(found)
        values = self._values({place for place, _ in given if place is not None})
        return [self._step(place, link, depth, values) for place, link in given]

    def _step(self, place: Place | None, link: Link, depth: int, values: dict[Place, Any]) -> Step:
        vertex = place.vertex if place is not None else link.vertex
        release = self._lineage.vertices[vertex].component
        if place is None:
            return Step(depth, vertex, release, None, is_certain=link.is_certain, how=link.how)
        record_id, time_ns = self._lineage.facts(place)
        return Step(depth, vertex, release, place, record_id, time_ns, values[place], link.is_certain, link.how)

    def _values(self, places: set[Place]) -> dict[Place, Any]:
        found: dict[Place, Any] = {}
        for vertex, port in {(one.vertex, one.port) for one in places}:
            wanted = {one.index for one in places if (one.vertex, one.port) == (vertex, port)}
            last = max(wanted)
            for record in self._replay.records(vertex, port):
                if record.index in wanted:
                    found[Place(vertex, port, record.index)] = decode(record.packed)
                if record.index == last:
                    break
        return found


def _window(value: Any) -> tuple[int, int] | None:
    """Event times (UTC ns) between which the records lie that an `aggregate` has summed up."""
    given = [value.get(name) for name in ("window_start", "window_end")] if isinstance(value, dict) else []
    ends = [_ns(one) for one in given if isinstance(one, datetime) and one.tzinfo is not None]
    return (ends[0], ends[1]) if len(ends) == 2 else None


def _ns(time: datetime) -> int:
    return int(time.replace(microsecond=0).timestamp()) * 10**9 + time.microsecond * 1000
