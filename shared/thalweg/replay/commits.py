"""Reads what a vertex has put out commit by commit, as a vertex that stands for it is to write it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress, groupby

import msgspec

from thalweg.errors import RejectedError
from thalweg.replay.reader import Body, Replay
from thalweg.sdk.values import Recorded
from thalweg.wire.commit import END_OF_TIME, HEADER, Commit, decode_commit


@dataclass(frozen=True, slots=True)
class Window:
    """Which records of a port are wanted.

    Attributes:
        from_ns, to_ns: event time from and before which; None where it is open.
        count: only the first of these; None for all.
    """

    from_ns: int | None = None
    to_ns: int | None = None
    count: int | None = None

    def wanted(self, times: list[int], left: int) -> list[bool]:
        """Which of some records are wanted, where at most `left` more are."""
        found = []
        for time_ns in times:
            is_in = (self.from_ns is None or time_ns >= self.from_ns) and (self.to_ns is None or time_ns < self.to_ns) and left > 0
            left -= is_in
            found.append(is_in)
        return found


EVERYTHING = Window()
_BatchOf = tuple[str, list[bytes], list[int], list[int], list[int]]


def recorded_commits(
    replay: Replay, vertex: str, port: str | None = None, after: int = 0, window: Window = EVERYTHING
) -> Iterator[Recorded]:
    """What a vertex has written, in order; the cursor is the sequence of the last message of a commit.

    All bodies of a commit come together: what it promises holds for what follows all of them.

    Args:
        replay: of the run.
        vertex: whose.
        port: only this one, which is called `out` then; None for all of them, under their own names.
        after: only commits that end behind this sequence.
        window: which records of each port.

    Raises:
        RejectedError: `replay.damaged`.
    """
    told = ((commit_of(body), body) for body in replay.bodies(vertex, port))
    counts: Counter[str] = Counter()
    for _, group in groupby(told, lambda one: (one[0].epoch, one[0].number)):
        found = list(group)
        commit, last = found[-1][0], found[-1][1].last
        if last <= after and window.count is None:
            continue
        batches = [_cut(_batch(replay, body, "out" if port is not None else body.port), window, counts) for _, body in found]
        if last > after:
            yield Recorded([one for one in batches if one[1]], None if commit.promised == END_OF_TIME else commit.promised, last)


def _cut(batch: _BatchOf, window: Window, counts: Counter[str]) -> _BatchOf:
    """What is wanted of a batch, which is counted."""
    if window == EVERYTHING:
        return batch
    port, parts, times, ids, progress = batch
    kept = window.wanted(times, len(times) if window.count is None else window.count - counts[port])
    counts[port] += sum(kept)
    return port, list(compress(parts, kept)), list(compress(times, kept)), list(compress(ids, kept)), list(compress(progress, kept))


def commit_of(body: Body) -> Commit:
    """The commit that a body belongs to. Raises RejectedError: `replay.damaged`."""
    try:
        return decode_commit(body.headers[HEADER])
    except (KeyError, msgspec.DecodeError) as error:
        raise RejectedError(f"{body.vertex}: message {body.last} of the replay has no commit", code="replay.damaged") from error


def _batch(replay: Replay, body: Body, port: str) -> _BatchOf:
    batch = replay.decode(body)
    if batch is None:
        raise RejectedError(replay.faults[-1], code="replay.damaged")
    return port, [bytes(one) for one in batch.v], batch.t, list(batch.ids()), batch.progress()
