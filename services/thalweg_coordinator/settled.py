"""Removes dead letters about which nothing is left to be done, a message at a time, as soon as nobody else needs them."""

from __future__ import annotations

from collections.abc import Mapping

from thalweg.bus.connection import Client
from thalweg.bus.dead_letters import remove_settled
from thalweg.bus.holds import held_from
from thalweg.wire.commit import Commit
from thalweg.wire.dead_letters import AGAIN_KEY
from thalweg.wire.spec import DeploymentSpec


class SettledLetters:
    """Of one deployment; remembers what it has looked at, so that it looks at the log only when there is news.

    Args:
        client: NATS connection.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._done: dict[str, tuple[int, int]] = {}  # by vertex, how far it was when nothing was left to be removed
        self._held: dict[str, tuple[tuple[int, int], int | None]] = {}

    def forget(self) -> None:
        """Begins anew, as with another log."""
        self._done.clear()
        self._held.clear()

    async def remove(self, spec: DeploymentSpec, commits: Mapping[str, Commit]) -> None:
        """Removes what may go now."""
        for vertex, commit in commits.items():
            place = commit.positions.get(AGAIN_KEY)
            if place is None or self._done.get(vertex) == place:
                continue
            held = await held_from(self._client, spec.workspace, spec.name)
            if self._held.get(vertex) == (place, held):
                continue
            if await remove_settled(self._client, spec, vertex, place, held):
                self._done[vertex] = place
            self._held[vertex] = (place, held)
