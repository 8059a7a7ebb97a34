"""Decides how vertices go back to an earlier position of their log: from which commit, reading what, or why they cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from thalweg.errors import RejectedError
from thalweg.graph.partitions import partition_of
from thalweg.wire import subjects
from thalweg.wire.commit import Commit
from thalweg.wire.partitions import formers_of
from thalweg.wire.rewind import Rewind, Void, add_void, is_pending
from thalweg.wire.spec import INLET_KEY, DeploymentSpec, EdgeSpec, VertexSpec, has_ended


@dataclass(frozen=True, slots=True)
class Past:
    """What a log holds of one vertex.

    Attributes:
        then: its newest commit before the position; None where none is there.
        sequence: of that commit's last message.
        snapshot: sequence of the state that belongs to that commit's floor; 0 for none.
        first: sequence of its first commit that is there; 0 for none.
        is_whole: nothing of it was trimmed.
    """

    then: Commit | None = None
    sequence: int = 0
    snapshot: int = 0
    first: int = 0
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Held:
    """What a log holds of one port.

    Attributes:
        first: sequence of its first message that is there; 0 for none.
        is_whole: nothing of it was trimmed.
        later: sequence of its first message at or behind the position; 0 for none.
    """

    first: int = 0
    is_whole: bool = True
    later: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a decision is made from.

    Attributes:
        position: sequence; what was committed from there on is to be done again.
        by_time: the position was told by a time, so that what the log has lost just before it may have been behind that time.
        past: by vertex.
        held: by subject of a port.
    """

    position: int
    by_time: bool = False
    past: Mapping[str, Past] = field(default_factory=dict)
    held: Mapping[str, Held] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Going:
    """How one vertex goes back.

    Attributes:
        rewind: what its spec says.
        starts: by edge key, before which sequence it reads nothing.
        after: number of the commit behind which its readers take what it has written as void.
        records_in: its count then.
    """

    rewind: Rewind
    starts: Mapping[str, int]
    after: int
    records_in: int = 0

    def reason(self) -> str:
        """For people."""
        match self.rewind.state:
            case "none yet":
                return f"to before its first record: it had committed none before #{self.rewind.position}"
            case "empty":
                return f"to #{self.rewind.position}, and begins empty: what it was then is no longer on the log"
            case _:
                return f"to where it was at #{self.rewind.position}: {self.records_in:,} records in"


def choose_vertices(old: DeploymentSpec, new: DeploymentSpec, commits: Mapping[str, Commit], named: Sequence[str]) -> list[str]:
    """The vertices that go back: those that are named, all partitions of one, or all that read inputs; and have committed something.

    Raises:
        RejectedError: `vertex.unknown`; `redeploy.going_back`, a former request of that kind is not carried out yet.
    """
    if waiting := [one.name for one in old.vertices if is_pending(one.rewind, commits.get(one.name))]:
        hint = f"`thalweg status {old.name}` says when they have, or why they cannot"
        raise RejectedError(f"{', '.join(waiting)}: have not gone back yet as asked before", code="redeploy.going_back", hint=hint)
    both = {one.name for one in old.vertices} & {one.name for one in new.vertices if not one.retired}
    if unknown := sorted(set(named) - both - {partition_of(one)[0] for one in both}):
        raise RejectedError(f"{old.name} has no vertex {', '.join(unknown)}", code="vertex.unknown")
    wanted = {one.name for one in new.vertices if (_is_named(one.name, named) if named else one.inputs)}
    return [one.name for one in new.vertices if one.name in wanted & both and one.name in commits]


def _is_named(vertex: str, names: Sequence[str]) -> bool:
    """Whether a vertex is meant by one of some names; one with partitions means all of them."""
    return vertex in names or partition_of(vertex)[0] in names


def plan_rewinds(
    old: DeploymentSpec, new: DeploymentSpec, commits: Mapping[str, Commit], chosen: Sequence[str], facts: Facts
) -> dict[str, Going]:
    """How each of the chosen vertices goes back; one that had ended before the position stays as it is, and is left out.

    Raises:
        RejectedError: `redeploy.trimmed`, the log no longer holds what a vertex would need; `redeploy.position`, there is nothing
            behind the position; `redeploy.ended`, a reader that has ended would not read what is written again.
    """
    former = {one.name: one for one in old.vertices}
    found: dict[str, Going] = {}
    lost: dict[str, int] = {}
    for vertex in new.vertices:
        past = facts.past.get(vertex.name, Past())
        if vertex.name not in chosen or (past.then is not None and past.then.ended):
            continue
        going = _going(new, former[vertex.name], vertex, past, facts, old.generation + 1)
        if isinstance(going, Going) and going.rewind.state != "kept" and formers_of(new, vertex):
            going = past.first + 1  # what partitions did before that were retired since is not done again
        if isinstance(going, int):
            lost[vertex.name] = going
        else:
            found[vertex.name] = going
    if lost:
        lines = [f"{name}: the log holds what it needs from #{oldest} on" for name, oldest in lost.items()]
        message = "\n  ".join([f"{old.name} cannot go back to #{facts.position}", *lines])
        hint = f"--from '#{max(lost.values())}'; deploy with --keep-log to be able to go back further"
        raise RejectedError(message, code="redeploy.trimmed", hint=hint, oldest=lost)
    if not found:
        raise RejectedError(f"nothing was done behind #{facts.position} that could be done again", code="redeploy.position")
    _refuse_deaf_readers(new, commits, found)
    return found


def go_back(vertices: list[VertexSpec], goings: Mapping[str, Going], fresh: Sequence[str]) -> list[VertexSpec]:
    """The vertices with what going back means to each: what it goes back to, and what of its inputs is void.

    A reader that does not go back is given the records again.

    Args:
        vertices: of the next generation.
        goings: by vertex.
        fresh: vertices that are new, and read what is valid alone.
    """
    done: list[VertexSpec] = []
    for vertex in vertices:
        going = goings.get(vertex.name)
        if going is None and vertex.name not in fresh:
            done.append(vertex)
            continue
        inputs = [_edge(edge, going, goings.get(edge.src_vertex)) for edge in vertex.inputs]
        done.append(msgspec.structs.replace(vertex, inputs=inputs, rewind=going.rewind if going is not None else vertex.rewind))
    return done


def _edge(edge: EdgeSpec, own: Going | None, source: Going | None) -> EdgeSpec:
    voids = edge.voids if source is None else add_void(edge.voids, Void(source.after, source.rewind.generation))
    return msgspec.structs.replace(edge, voids=voids, start=own.starts.get(edge.key, 0) if own is not None else edge.start)


def _going(new: DeploymentSpec, old: VertexSpec, vertex: VertexSpec, past: Past, facts: Facts, generation: int) -> Going | int:
    """How a vertex goes back; or, where it cannot, the oldest position to which it can."""
    held = {edge.key: facts.held.get(_subject(new, edge), Held()) for edge in vertex.inputs}
    if vertex.endpoint == "in":
        held[INLET_KEY] = facts.held.get(subjects.inlet(new.workspace, new.name, vertex.name), Held())
    known = {edge.key for edge in old.inputs}
    after = past.then.number if past.then is not None else 0
    if past.then is not None:
        places = dict.fromkeys(known & _following(new, vertex), (1, 0))
        places |= {key: place for key, place in (past.then.floor or past.then.positions).items() if key in held}
        if _can_read(places, held) and not (past.then.floor is not None and not past.snapshot):
            needed = [place[0] for key, place in places.items() if _was_read(place)]
            rewind = Rewind(generation, facts.position, past.sequence, past.snapshot, needed)
            starts = {edge.key: edge.start for edge in old.inputs if past.then.rewound and not _was_read(places.get(edge.key, (1, 0)))}
            return Going(rewind, starts, after, past.then.counters.records_in)
    elif past.is_whole and all(held[key].is_whole for key in held if key in known):
        return Going(Rewind(generation, facts.position, state="none yet"), {}, after)
    if not vertex.inputs:
        return max(past.first, *(one.first for one in held.values()), 0) + 1
    oldest = max([1, *(one.first + facts.by_time for key, one in held.items() if key in known and not one.is_whole)])
    if oldest > facts.position:
        return oldest
    needed = [one.later for one in held.values() if one.later]
    rewind = Rewind(generation, facts.position, needed=needed, state="empty")
    return Going(rewind, dict.fromkeys(held, facts.position), after)


def _following(new: DeploymentSpec, vertex: VertexSpec) -> set[str]:
    """Keys of the edges from partitions that have taken the place of others: a commit before that knows none of them."""
    followers = {one.name for one in new.vertices if formers_of(new, one)}
    return {edge.key for edge in vertex.inputs if edge.src_vertex in followers}


def _can_read(places: Mapping[str, tuple[int, int]], held: Mapping[str, Held]) -> bool:
    return all(held[key].is_whole or (_was_read(place) and held[key].first <= place[0]) for key, place in places.items())


def _was_read(place: tuple[int, int]) -> bool:
    return place != (1, 0)


def _subject(spec: DeploymentSpec, edge: EdgeSpec) -> str:
    return subjects.port(spec.workspace, spec.name, edge.src_vertex, edge.src_port)


def _refuse_deaf_readers(new: DeploymentSpec, commits: Mapping[str, Commit], goings: Mapping[str, Going]) -> None:
    deaf = {
        reader.name: edge.src_vertex
        for reader in new.vertices
        if not reader.retired
        for edge in reader.inputs
        if reader.name not in goings and edge.src_vertex in goings and has_ended(reader, commits.get(reader.name))
    }
    if deaf:
        lines = [f"{reader}: has ended, and would not read what {writer} writes again" for reader, writer in deaf.items()]
        hint = " ".join(["let it go back, too:", *(f"--vertex {name}" for name in sorted({*goings, *deaf}))])
        raise RejectedError("\n".join(lines), code="redeploy.ended", hint=hint)
