"""Reads what a vertex has put out commit by commit, as a vertex that stands for it is to write it again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import msgspec

from thalweg.errors import RejectedError
from thalweg.replay.reader import Body, Replay
from thalweg.sdk.values import Recorded
from thalweg.wire.commit import END_OF_TIME, HEADER, Commit, decode_commit


def recorded_commits(replay: Replay, vertex: str, port: str | None = None, after: int = 0) -> Iterator[Recorded]:
    """What a vertex has written, in order; the cursor is the sequence of the last message of a commit.

    All bodies of a commit come together: what it promises holds for what follows all of them.

    Args:
        replay: of the run.
        vertex: whose.
        port: only this one, which is called `out` then; None for all of them, under their own names.
        after: only commits that end behind this sequence.

    Raises:
        RejectedError: `replay.damaged`.
    """
    told = ((_commit_of(vertex, body), body) for body in replay.bodies(vertex, port))
    for _, group in groupby(told, lambda one: (one[0].epoch, one[0].number)):
        found = list(group)
        commit, last = found[-1][0], found[-1][1].last
        if last > after:
            batches = [_batch(replay, vertex, body, "out" if port is not None else body.port) for _, body in found]
            yield Recorded([one for one in batches if one[1]], None if commit.promised == END_OF_TIME else commit.promised, last)


def _commit_of(vertex: str, body: Body) -> Commit:
    try:
        return decode_commit(body.headers[HEADER])
    except (KeyError, msgspec.DecodeError) as error:
        raise RejectedError(f"{vertex}: message {body.last} of the replay has no commit", code="replay.damaged") from error


def _batch(replay: Replay, vertex: str, body: Body, port: str) -> tuple[str, list[bytes], list[int], list[int], list[int]]:
    batch = replay.decode(vertex, body)
    if batch is None:
        raise RejectedError(replay.faults[-1], code="replay.damaged")
    return port, [bytes(one) for one in batch.v], batch.t, list(batch.ids()), batch.progress()
