"""Compares a window of a run with another run of its records, as far as both have read the same.

At the edges of a window something is always missing: what vertices put out first comes from records before it, and of its last records
not all had been worked on. So a port is compared from the first commit on of which everything that it comes from is in the window, up to
the last record that it has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from thalweg.errors import RejectedError
from thalweg.graph.partitions import partition_of
from thalweg.graph.plan import Plan, PlannedVertex
from thalweg.replay.compare import Difference, first_difference, upstream_first
from thalweg.replay.counting import PortChange, port_changes
from thalweg.replay.format import decode_headers
from thalweg.replay.reader import Record, Recording, Replay
from thalweg.wire.commit import HEADER, decode_commit
from thalweg.wire.receipts import receipt_ports
from thalweg.wire.spec import DeploymentSpec, VertexSpec
from thalweg.wire.subjects import parse_port

Port = tuple[str, str]
_NEVER = 1 << 63
_Commits = dict[str, list[tuple[int, dict[str, tuple[int, int]]]]]


def is_window(replay: Replay) -> bool:
    """Whether a replay says that it has a part of a run alone."""
    return replay.completeness is not None and replay.completeness.window is not None


def check_rerun(plan: Plan) -> None:
    """Refuses to run a window again where what came before it has a part in what is put out: in a state, or as the half of a pair.

    Args:
        plan: of the second run; vertices that do not run are sources in it.

    Raises:
        RejectedError: `replay.window`.
    """
    named = [one.name for one in plan.vertices if one.outputs and _keeps(one)]
    if named:
        hint = f"{' '.join(f'--recorded {name}' for name in named)} gives what was put out; `replay trim` makes a replay that begins anew"
        who = f"{', '.join(named)} {'keeps' if len(named) == 1 else 'keep'}"
        raise RejectedError(f"this is a window, and {who} something of what came before it", code="replay.window", hint=hint)


def _keeps(vertex: PlannedVertex) -> bool:
    return vertex.manifest.stateful or (vertex.manifest.combine in ("zip", "latest") and len(vertex.inputs) > 1)


def compare_within(
    window: Replay, other: Recording, ran: DeploymentSpec, given: Collection[str], ports: Sequence[Port]
) -> tuple[list[PortChange], Difference | None]:
    """How some ports differ, as far as the window has all that they come from; those of which it has nothing such are left out.

    Args:
        window: the first run.
        other: the second one.
        ran: what the first one was.
        given: vertices that did not run in the second one, but gave what they had put out.
        ports: upstream ones first.
    """
    inside = Inside(window, ran, given)
    beside = Beside(inside, other)
    there = [one for one in ports if next(inside.records(*one), None) is not None]
    changes = port_changes(inside, beside, there, receipt_ports(ran))
    differing = [(one.vertex, one.port) for one in changes if not one.is_same]
    return changes, first_difference(inside, beside, differing)


class Inside:
    """The records of a window that have all they come from in it.

    Args:
        replay: the window.
        spec: what ran.
        given: vertices that do not run in the other run, but give what they have put out here.
    """

    def __init__(self, replay: Replay, spec: DeploymentSpec, given: Collection[str]) -> None:
        self._replay = replay
        commits, self._starts = _commits_of(replay), dict[str, int]()
        vertices, first = {one.name: one for one in spec.vertices}, replay.completeness.first if replay.completeness is not None else 1
        for name in dict.fromkeys(vertex for vertex, _ in upstream_first(spec)):
            is_given = partition_of(name)[0] in given or not vertices[name].inputs
            self._starts[name] = first if is_given else _start(vertices[name], commits.get(name, []), self._starts)

    def records(self, vertex: str, port: str) -> Iterator[Record]:
        """As `Recording`."""
        start = self._starts.get(vertex, _NEVER)
        return (one for one in self._replay.records(vertex, port) if one.sequence >= start)


class Beside:
    """The records of another run that stand beside those of a window.

    Args:
        inside: the window.
        other: the run.
    """

    def __init__(self, inside: Inside, other: Recording) -> None:
        self._inside, self._other = inside, other

    def records(self, vertex: str, port: str) -> Iterator[Record]:
        """As `Recording`: from the first record of the window up to its last one."""
        first = last = None
        for one in self._inside.records(vertex, port):
            first, last = first if first is not None else one.record_id, one.record_id
        begin, end = 0, None
        is_begun = False
        for index, one in enumerate(self._other.records(vertex, port)):
            if one.record_id == first and not is_begun:
                begin, is_begun = index, True
            if one.record_id == last:
                end = index + 1
        return islice(self._other.records(vertex, port), begin, end)


def _commits_of(replay: Replay) -> _Commits:
    """Of each vertex, the last message of each commit and what it has read by then."""
    found: _Commits = {}
    for entry in replay.entries():
        place, text = parse_port(entry.subject), decode_headers(entry.headers).headers.get(HEADER)
        if place is not None and text is not None:
            found.setdefault(place[0], []).append((entry.sequence, decode_commit(text).positions))
    return found


def _start(vertex: VertexSpec, commits: list[tuple[int, dict[str, tuple[int, int]]]], starts: dict[str, int]) -> int:
    """The sequence from which on what a vertex writes comes from what is inside alone."""
    for sequence, positions in commits:
        reached = [(positions.get(edge.key, (0, 0))[0], starts.get(edge.src_vertex, _NEVER)) for edge in vertex.inputs]
        if all(position >= start for position, start in reached):
            return sequence + 1
    return _NEVER
