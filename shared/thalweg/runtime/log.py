"""What a vertex asks of a deployment log; implemented on JetStream (`thalweg.bus`) and in memory (`thalweg.testing`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from thalweg.runtime.inputs import Message
from thalweg.wire.commit import Commit
from thalweg.wire.rewind import Rewind


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the log holds of a vertex: its last commit, and the state to start from (at the commit's floor where it has one)."""

    commit: Commit | None
    state: bytes | None

    @property
    def inline(self) -> bytes | None:
        """The state, where it is written with every commit."""
        return self.state if self.commit is None or self.commit.floor is None else None


class Log(Protocol):
    """One vertex's view of its deployment log.

    Attributes:
        arrived: set when a message has arrived; whoever waits for it clears it, and others may set it to wake the one that waits.
    """

    arrived: asyncio.Event

    async def recover(self) -> Recovered:
        """The vertex's last commit."""

    async def checkpoint(self, rewind: Rewind) -> Recovered:
        """The vertex's commit that a rewind goes back to, with the state that belongs to it.

        Raises:
            RunFailedError: `log.trimmed`, something that the rewind needs is not there any more.
        """

    async def write(self, parts: list[tuple[str, bytes]], commit: Commit) -> None:
        """Appends one commit, whole or not at all; waits while the log pushes back.

        Raises:
            FencedOutError: a newer copy has claimed the vertex.
            StaleClaimError: this is a claim, and an older copy has written since `recover`.
        """

    async def open(self, positions: dict[str, tuple[int, int]], allowed: Callable[[str], bool] | None = None) -> None:
        """Begins to read every input edge from its position; an edge delivers only while `allowed(edge key)`."""

    async def last_from_outside(self) -> int:
        """Sequence of the last message to the vertex's input endpoint; 0 where there is none."""

    def ready(self) -> Message | None:
        """A message that is here already, or None."""

    async def close(self) -> None:
        """Stops reading."""
