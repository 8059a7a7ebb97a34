"""Going back: from where on a log a vertex does its work again, and which messages of its input that replaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from thalweg.wire.commit import Commit
from thalweg.wire.dead_letters import AGAIN_KEY

StateThen = Literal["kept", "empty", "none yet"]


class Rewind(msgspec.Struct, frozen=True):
    """Has a vertex go on from where it stood at an earlier position of its log; everything in it was read off that log.

    Attributes:
        generation: of the deployment that asked for it; done once a commit of the vertex says so (`Commit.rewound`).
        position: sequence that was asked for: what the vertex has committed from there on is done again.
        commit: sequence of the last message of the commit that it goes on from; 0: it begins without one.
        snapshot: sequence of the last message of the state that belongs to the commit's floor; 0: the commit has no floor.
        needed: sequences of messages that must still be there when it goes back.
        state: `kept`, as of the commit; `none yet`: it had begun with nothing; `empty`: what it was is no longer on the log.
    """

    generation: int
    position: int
    commit: int = 0
    snapshot: int = 0
    needed: list[int] = []
    state: StateThen = "kept"


class Void(msgspec.Struct, frozen=True, array_like=True):
    """Messages of a writer that it has written anew: commits behind number `after`, by copies that had not gone back in `below` yet."""

    after: int
    below: int

    def covers(self, commit: Commit) -> bool:
        """Whether a commit's messages are void."""
        return commit.number > self.after and commit.rewound < self.below


def is_void(voids: Sequence[Void], commit: Commit) -> bool:
    """Whether a reader passes over the messages of a commit."""
    return any(void.covers(commit) for void in voids)


def is_pending(rewind: Rewind | None, commit: Commit | None) -> bool:
    """Whether a vertex whose newest commit this is has still to go back."""
    return rewind is not None and (commit is None or commit.rewound < rewind.generation)


def add_void(voids: Sequence[Void], void: Void) -> list[Void]:
    """The voids of an edge with another one, without those that it makes superfluous."""
    return [one for one in voids if not (void.after <= one.after and void.below >= one.below)] + [void]


def rewound(last: Commit, then: Commit | None, rewind: Rewind, generation: int) -> Commit:
    """The claim by which a vertex goes back.

    Counts, digests, positions and cursor are those of then; what fences and what the log still holds go on from the last commit.

    Args:
        last: the vertex's newest commit.
        then: the one to go on from; None where there is none.
        rewind: what is asked for.
        generation: of the vertex as deployed.
    """
    base = then or Commit(epoch=0, number=0)
    positions = base.positions
    if rewind.state == "empty" and AGAIN_KEY in last.positions:  # what was given again before is no part of what is done again
        positions = {**positions, AGAIN_KEY: last.positions[AGAIN_KEY]}
    return msgspec.structs.replace(
        base,
        positions=positions,
        epoch=last.epoch + 1,
        number=last.number + 1,
        claim=True,
        failure=None,
        ended=False,
        drained=False,
        waits_for=None,
        generated={},
        taken=[],
        missing=[],
        undeclared=[],
        dead_commits=last.dead_commits,
        generation=generation,
        rewound=rewind.generation,
    )
