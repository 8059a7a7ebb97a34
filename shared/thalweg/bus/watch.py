"""Watches a deployment log: whether it exists, whether it is still the same one, what its newest messages say."""

from __future__ import annotations

from dataclasses import dataclass

from thalweg.bus.connection import Client
from thalweg.bus.deployments import log_state
from thalweg.bus.heads import StoredMessage, read_heads


@dataclass(frozen=True, slots=True)
class Look:
    """What a log was like.

    Attributes:
        created: when it was made, as the server says it; another log of the same name has another time.
        last_sequence: of its last message, 0 while there is none.
        heads: the last message of every subject of a vertex, without its body; at least as new as `last_sequence`.
    """

    created: str
    last_sequence: int
    heads: list[StoredMessage]


class LogWatch:
    """Looks at one log again and again; a look costs one small request while nothing is written.

    It keeps nothing open on the server, so that restarts of the server need no care. Everyone who follows a deployment reads it
    by this class. Heads are read by a new consumer for each look: following every commit by one that stays open would cost in
    proportion to the commits, of which a look needs only the last.
    """

    def __init__(self, client: Client, workspace: str, deployment: str) -> None:
        self._client, self._place = client, (workspace, deployment)
        self._last: Look | None = None

    async def look(self) -> Look | None:
        """The log now; None where there is none. Ends within a few seconds.

        Raises:
            UnreachableError, nats.errors.Error, OSError, TimeoutError: the server is away; look again later.
        """
        state = await log_state(self._client, *self._place)
        if state is None:
            self._last = None
        elif self._last is None or state != (self._last.created, self._last.last_sequence):
            self._last = Look(*state, await read_heads(self._client, *self._place))
        return self._last
