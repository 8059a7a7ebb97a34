"""Calls about replays: what there is, and saving the last part of a run."""

from __future__ import annotations

from thalweg.api.calls import Call, Nothing
from thalweg.api.deployments import KeptWindow
from thalweg.graph.fields import Name, Strict


class ReplayItem(Strict):
    """One line of a list: a replay, and the evidence that names it.

    Attributes:
        evidence: "" of a window that was saved while its deployment ran.
        window: it has a part of the run alone.
        cause: why it was saved; "" of one that evidence names.
        from_ns, to_ns: which part that is, UTC; 0 where only the replay itself says it.
    """

    evidence: str
    deployment: str
    backend: str
    finished_ns: int
    artifact: str | None
    size_bytes: int
    complete: bool
    reason: str | None
    window: bool = False
    cause: str = ""
    from_ns: int = 0
    to_ns: int = 0


class ReplayItems(Strict):
    """Replays of all evidence of the workspace, and windows, oldest first."""

    replays: list[ReplayItem]


class Save(Strict):
    """A deployment whose last part is to be saved, as far as it was captured when this was asked."""

    name: Name


class Saving(Strict):
    """It is being saved, under this id."""

    name: Name
    id: str


class Saved(Strict):
    """What became of it; None while that is not known."""

    window: KeptWindow | None


LIST = Call("replay", "list", Nothing, ReplayItems)
SAVE = Call("replay", "save", Save, Saving)
SAVED = Call("replay", "saved", Saving, Saved)
