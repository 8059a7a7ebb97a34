"""Decides what a redeploy makes of vertices whose partitions or key change: which retire, which take their place, or why they cannot."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from thalweg.errors import RejectedError
from thalweg.graph.partitions import partition_name, partition_of
from thalweg.wire.commit import Commit
from thalweg.wire.dead_letters import AGAIN_KEY
from thalweg.wire.partitions import formers_of, parts_of
from thalweg.wire.rewind import is_pending
from thalweg.wire.spec import DeploymentSpec, EdgeSpec, Share, VertexSpec, has_ended

MAX_PARTS = 256  # that a vertex may have had: its readers name each of them in every commit
_HINT = "undeploy, then deploy the revision anew"


@dataclass(frozen=True, slots=True)
class Change:
    """Other partitions of one vertex.

    Attributes:
        before: what retires.
        after: what takes its place.
        older: names of those that had retired before.
    """

    vertex: str
    before: list[VertexSpec]
    after: list[VertexSpec]
    older: list[str]

    @property
    def what(self) -> str:
        """For people."""
        old, new = self.before[0].share or Share(0, 1), self.after[0].share or Share(0, 1)
        counts = [f"partitions changed {old.count} -> {new.count}"] if old.count != new.count else []
        keys = [f"key changed {old.key or 'none'} -> {new.key or 'none'}"] if old.key != new.key else []
        return ", ".join(counts + keys)

    @property
    def takes_over(self) -> str:
        """What the new ones do, for people."""
        how = "takes the place of" if self.after[0].memory == "none" else "makes its state anew from the log, in place of"
        return f"{self.what}: {how} {', '.join(one.name for one in self.before)}"

    def ports(self, old: DeploymentSpec) -> list[tuple[str, str]]:
        """(vertex, port) of all that the new ones read, of what there is already."""
        known = {one.name for one in old.vertices}
        return list(dict.fromkeys((edge.src_vertex, edge.src_port) for edge in self.after[0].inputs if edge.src_vertex in known))


def renumber(old: DeploymentSpec, new: DeploymentSpec) -> tuple[DeploymentSpec, list[Change]]:
    """A planned deployment with its partitions called as they are, or will be, in one that runs; and which vertices get other ones.

    Partitions whose count or key is another one than before are others, with numbers that were never used: what the former ones have
    written, and where they stood, stays on the log under their own names. They stay in the spec as retired, before those in their place.

    Args:
        old: what runs.
        new: planned as if nothing ran.
    """
    bases = list(dict.fromkeys(partition_of(one.name)[0] for one in new.vertices))
    planned = {base: parts_of(new, base) for base in bases}
    retired, names, live = dict[str, list[VertexSpec]](), dict[str, list[str]](), dict[str, list[VertexSpec]]()
    for base in bases:
        had = parts_of(old, base)
        live[base], retired[base] = [one for one in had if not one.retired], [one for one in had if one.retired]
        by_share = {one.share: one.name for one in live[base]}
        if by_share.keys() == {one.share for one in planned[base]}:
            names[base] = [by_share[one.share] for one in planned[base]]
        elif not had:
            names[base] = [one.name for one in planned[base]]
        else:
            last = max(partition_of(one.name)[1] for one in had)
            names[base] = [partition_name(base, last + number) for number in range(1, len(planned[base]) + 1)]
            retired[base] += [msgspec.structs.replace(one, retired=old.generation + 1) for one in live[base]]
    parts = {base: [*(one.name for one in retired[base]), *names[base]] for base in bases}
    there = {name for base in bases for name in parts[base]}
    vertices: list[VertexSpec] = []
    changes: list[Change] = []
    for base in bases:
        known = {edge.key: edge for edge in live[base][0].inputs} if live[base] else {}
        after = [
            msgspec.structs.replace(one, name=name, inputs=_inputs(one.inputs, parts, known))
            for name, one in zip(names[base], planned[base], strict=True)
        ]
        for one in retired[base]:  # what it read may be gone from the graph
            vertices.append(msgspec.structs.replace(one, inputs=[edge for edge in one.inputs if edge.src_vertex in there]))
        vertices += after
        if live[base] and {one.name for one in live[base]} != set(names[base]):
            older = [one.name for one in retired[base] if one.retired <= old.generation]
            changes.append(Change(base, live[base], after, older))
    return msgspec.structs.replace(new, vertices=vertices), changes


def _inputs(planned: Sequence[EdgeSpec], parts: Mapping[str, list[str]], known: Mapping[str, EdgeSpec]) -> list[EdgeSpec]:
    """An edge from each partition that a source has or had; what is void on one stays so."""
    found: dict[str, EdgeSpec] = {}
    for edge in planned:
        for source in parts[partition_of(edge.src_vertex)[0]]:
            one = msgspec.structs.replace(edge, src_vertex=source)
            before = known.get(one.key, one)
            found.setdefault(one.key, msgspec.structs.replace(one, voids=before.voids, start=before.start))
    return list(found.values())


def check_changes(
    old: DeploymentSpec,
    new: DeploymentSpec,
    changes: Sequence[Change],
    commits: Mapping[str, Commit],
    cut: Collection[tuple[str, str]] = (),
    *,
    goes_back: bool = False,
) -> None:
    """Refuses changes that would lose or double something.

    Args:
        old: what runs.
        new: as `renumber` made it.
        changes: so, too.
        commits: the newest of each vertex.
        cut: (vertex, port) whose first records are gone from the log.
        goes_back: the redeploy asks some vertices to go back as well.

    Raises:
        RejectedError: `redeploy.partitions`; `redeploy.ended`, some of them have ended already.
    """
    ended = [one.name for change in changes for one in change.before if has_ended(one, commits.get(one.name))]
    if ended:
        what = f"{', '.join(ended)}: has ended already, and its partitions would have to change"
        raise RejectedError(what, code="redeploy.ended", hint=_HINT)
    for change in changes:
        if (fault := _fault(old, new, change, commits, cut, goes_back=goes_back)) is not None:
            why, hint = fault
            raise RejectedError(f"{change.vertex}: {change.what}: {why}", code="redeploy.partitions", hint=hint)


def _fault(
    old: DeploymentSpec,
    new: DeploymentSpec,
    change: Change,
    commits: Mapping[str, Commit],
    cut: Collection[tuple[str, str]],
    *,
    goes_back: bool,
) -> tuple[str, str] | None:
    """Why a change cannot be, and what would help."""
    if old.launcher == "static":
        return "somebody else starts the vertices, by the names that they have now", _HINT
    if goes_back:
        return "not while vertices go back", "redeploy twice: let them go back, then change partitions, or the other way round"
    if waiting := [one.name for one in change.before if is_pending(one.rewind, commits.get(one.name))]:
        return f"{', '.join(waiting)} has still to go back as asked before", f"`thalweg status {old.name}` says when it has"
    if len({_past(one) for one in change.before}) > 1:
        return "some of its partitions went back, and others did not", "let all of them go back together, or undeploy"
    count = len(parts_of(new, change.vertex))
    if count > MAX_PARTS:
        return f"it would have had {count} partitions since it was deployed, of {MAX_PARTS} at most", _HINT
    return _state_fault(new, change, commits, cut)


def _past(vertex: VertexSpec) -> tuple[int, bytes]:
    generation = vertex.rewind.generation if vertex.rewind is not None else 0
    return generation, msgspec.json.encode([(edge.key, edge.voids, edge.start) for edge in vertex.inputs])


def _state_fault(
    new: DeploymentSpec, change: Change, commits: Mapping[str, Commit], cut: Collection[tuple[str, str]]
) -> tuple[str, str] | None:
    """Why the state cannot be made anew."""
    first = change.after[0]
    if first.memory == "none":
        return None
    if first.kind == "sink" or not first.deterministic:
        return "its state cannot be made anew: what it does outside would be done again", _HINT
    generations = formers_of(new, first)
    if first.memory == "times" and any(len(one) > 1 for one in generations):
        return "its partitions give records as event time goes on, and were not at one place: what is given already cannot be told", _HINT
    if any(AGAIN_KEY in commits[one.name].positions for formers in generations for one in formers if one.name in commits):
        return "its state cannot be made anew: dead letters were given to it again, beside its inputs", _HINT
    if gone := [f"{vertex}.{port}" for vertex, port in change.ports(new) if (vertex, port) in cut]:
        what = f"its state cannot be made anew: the log no longer holds all of {', '.join(gone)}"
        return what, f"{_HINT}; deploy with --keep-log to keep what it needs"
    return None
