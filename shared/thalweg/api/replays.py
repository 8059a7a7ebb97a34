"""Calls about replays: what there is."""

from __future__ import annotations

from thalweg.api.calls import Call, Nothing
from thalweg.graph.fields import Strict


class ReplayItem(Strict):
    """One line of a list: a replay, and the evidence that names it."""

    evidence: str
    deployment: str
    backend: str
    finished_ns: int
    artifact: str | None
    size_bytes: int
    complete: bool
    reason: str | None


class ReplayItems(Strict):
    """Replays of all evidence of the workspace, oldest first."""

    replays: list[ReplayItem]


LIST = Call("replay", "list", Nothing, ReplayItems)
