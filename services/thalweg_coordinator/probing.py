"""Answers calls that try the outside connections of vertices: from where the vertices would run, with the workspace's secrets."""

from __future__ import annotations

import asyncio
from typing import Any

from thalweg.api.calls import Call
from thalweg.api.probes import PROBE, Probe, Probed
from thalweg.client.probes import run_probes
from thalweg_coordinator.api import Handler
from thalweg_coordinator.secrets import Secrets


class Probes:
    """Handlers by call.

    Args:
        secrets: those that may be bound.
    """

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def handlers(self) -> dict[Call[Any, Any], Handler]:
        """By call of `thalweg.api.probes`."""
        return {PROBE: self.probe}

    async def probe(self, asked: Probe) -> Probed:
        """Opens and closes the connections; the values of secrets go to the processes that do, and nowhere else."""
        vertices = [(one, await self._secrets.reveal(one.secrets, asked.owner)) for one in asked.vertices]
        return Probed(connections=await asyncio.to_thread(run_probes, vertices, {}))
