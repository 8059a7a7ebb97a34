"""Answers calls about replays, out of the evidence that names them."""

from __future__ import annotations

from typing import Any

from thalweg.api import replays as api
from thalweg.api.calls import Call, Nothing
from thalweg_coordinator.api import Handler
from thalweg_coordinator.teardown import Records


class Replays:
    """Handlers by call.

    Args:
        records: of teardowns.
    """

    def __init__(self, records: Records) -> None:
        self._records = records

    def handlers(self) -> dict[Call[Any, Any], Handler]:
        """By call of `thalweg.api.replays`."""
        return {api.LIST: self.list}

    async def list(self, asked: Nothing) -> api.ReplayItems:
        """Of all evidence, oldest first; runs that were not captured are left out."""
        found = [
            api.ReplayItem(
                evidence=one["id"],
                deployment=one["deployment"],
                backend=one["backend"],
                finished_ns=one["finished_ns"],
                **{name: one["replay"][name] for name in ("artifact", "size_bytes", "complete", "reason")},
            )
            for one in await self._records.all_evidence()
            if one.get("replay")
        ]
        return api.ReplayItems(replays=found)
