"""Taking over: what partitions have worked on that were retired, so that those in their place do just the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from thalweg.wire.batch import batch_decoder
from thalweg.wire.commit import Commit
from thalweg.wire.partitions import digits
from thalweg.wire.spec import Share, VertexSpec

Place = tuple[int, int]  # sequence of a message, and how many of its records are done
START = (1, 0)
_decode = batch_decoder(Any).decode


@dataclass(frozen=True, slots=True)
class Former:
    """One retired partition, as to one input edge.

    Attributes:
        share: of the records; None took all.
        place: before it, everything of its share is worked on.
        ended: it came to its end by itself, before it was retired.
        name: what it is called.
    """

    share: Share | None
    place: Place
    ended: bool = False
    name: str = ""


class Passed:
    """Which records of an input edge retired partitions of the reader have worked on.

    A record is worked on if it lies before the place of the one to which it fell, in any of the generations: each of them has left out
    what those before it had done, so no record was worked on twice.

    Args:
        generations: oldest first; in each, the shares are those of one way to deal records out.

    Attributes:
        begin: everything before it is worked on.
        until: nothing from there on is.
    """

    def __init__(self, generations: Sequence[Sequence[Former]]) -> None:
        self._generations = generations
        self.begin: Place = max((min(one.place for one in formers) for formers in generations), default=START)
        self.until: Place = max((one.place for formers in generations for one in formers), default=START)

    def of(self, sequence: int, body: bytes) -> tuple[set[int], set[int]]:
        """Indexes of the records of a message that are worked on, and of those among them that fell to a partition which has ended.

        Args:
            sequence: of the message's first piece.
            body: whole.

        Raises:
            msgspec.DecodeError: it is no batch.
        """
        done, ended = set[int](), set[int]()
        if sequence > self.until[0]:
            return done, ended
        for index, owner in self._owners(body):
            if (sequence, index) < owner.place:
                done.add(index)
                if owner.ended:
                    ended.add(index)
        return done, ended

    def owners(self, body: bytes) -> list[tuple[str, ...]]:
        """Names of the partitions to which each record of a message fell, worked on or not. Raises msgspec.DecodeError."""
        found: dict[int, list[str]] = {}
        for index, owner in self._owners(body):
            found.setdefault(index, []).append(owner.name)
        return [tuple(found[index]) for index in range(len(found))]

    def _owners(self, body: bytes) -> Iterator[tuple[int, Former]]:
        """Each record's index, with who it fell to, for each of the generations."""
        batch = _decode(body)
        ids = batch.ids()
        for formers in self._generations:
            share = formers[0].share
            owners = {one.share.index if one.share is not None else 0: one for one in formers}
            for index, digit in enumerate(digits(share.key if share is not None else None, batch.v, ids)):
                yield index, owners[digit % (share.count if share is not None else 1)]


@dataclass(frozen=True, slots=True)
class Takeover:
    """What a vertex has to know of retired partitions: of those whose place it takes, and of those that it reads.

    Attributes:
        passed: by edge key, what is worked on already.
        mutes: that goes into its state all the same, with nothing coming of it; else it is left out.
        first: the commit to begin from, while the vertex has none of its own.
        ends: by edge key, sequence of the last message that its retired writer has left; 0 for none.
        formers: names of those whose place it takes, with their last `Commit.rewound`.
    """

    passed: Mapping[str, Passed] = field(default_factory=dict)
    mutes: bool = False
    first: Commit | None = None
    ends: Mapping[str, int] = field(default_factory=dict)
    formers: Mapping[str, int] = field(default_factory=dict)


def passed_of(generations: Sequence[Sequence[VertexSpec]], commits: Mapping[str, Commit], edge: str) -> Passed:
    """What partitions have worked on of an input edge, by their newest commits; one without any has done nothing."""
    none = Commit(epoch=0, number=0)
    return Passed(
        [
            [
                Former(one.share, commits.get(one.name, none).positions.get(edge, START), commits.get(one.name, none).ended, one.name)
                for one in formers
            ]
            for formers in generations
        ]
    )


def first_commit(vertex: VertexSpec, generations: Sequence[Sequence[VertexSpec]], commits: Mapping[str, Commit]) -> Commit | None:
    """What a partition that takes over begins from; None for a vertex that takes nothing over.

    Where its state has to be made anew, the inputs are read from their start, and nothing comes of what lies before its positions.

    Args:
        vertex: which.
        generations: whose place it takes, as `formers_of` has them.
        commits: their newest ones.
    """
    if not generations:
        return None
    known = [commits[one.name] for one in generations[-1] if one.name in commits]
    watermark = min(one.watermark for one in known) if len(known) == len(generations[-1]) else Commit(epoch=0, number=0).watermark
    places = {edge.key: passed_of(generations, commits, edge.key).begin for edge in vertex.inputs}
    floor = None if vertex.memory == "none" else dict.fromkeys(places, START)
    return Commit(epoch=0, number=0, positions=places, floor=floor, watermark=watermark)
