"""Calls about backends: edit, apply, look at, compare, go back."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from thalweg.api.calls import Call, Nothing
from thalweg.api.leases import Leased
from thalweg.graph.fields import Line, Name, Strict
from thalweg.graph.history import MAX_OPERATIONS, Entry
from thalweg.graph.operations import Operation

MAX_LISTED = 1000
State = Literal["complete", "incomplete", "invalid"]


class Signed(Leased):
    """Who edits a backend, and why."""

    backend: Name
    author: Line = Field(min_length=1, max_length=200)
    reason: Line = Field("", max_length=1000)


class Edit(Signed):
    """Operations to append, all or none; `revision` is the one that they were made on, 0 for a new backend, None for the newest."""

    revision: int | None = Field(None, ge=0)
    operations: list[Operation] = Field(min_length=1, max_length=MAX_OPERATIONS)


class Apply(Signed):
    """The content of a pipeline file that the backend is to become; files are bound by artifact id."""

    document: dict[str, Any]
    pin_latest: bool = False
    dry_run: bool = False


class GoTo(Signed):
    """A revision to undo, or to go back to."""

    revision: int = Field(ge=0)


class Edited(Strict):
    """What an edit made: the newest revision, its digest, what was appended in words (nothing when all was so already)."""

    backend: Name
    revision: int
    digest: str
    changes: list[str] = Field(default_factory=list)
    deployable: bool
    faults: list[str] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)


class Which(Strict):
    """A backend at a revision, the newest without."""

    backend: Name
    revision: int | None = Field(None, ge=0)


class PartStatus(Strict):
    """Whether a vertex or an edge is complete, and why not."""

    name: str
    state: State
    reasons: list[str] = Field(default_factory=list)


class Shown(Strict):
    """A backend at one revision: its pipeline file, and how complete it is."""

    backend: Name
    revision: int
    newest: int
    digest: str
    lease: str = ""
    document: dict[str, Any]
    vertices: list[PartStatus]
    edges: list[PartStatus]
    faults: list[str] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
    deployable: bool


class Summary(Strict):
    """One line of a list."""

    backend: Name
    revision: int
    digest: str
    vertices: int
    edges: int
    state: State
    author: str
    time_ns: int
    lease: str = ""


class Listed(Strict):
    """All backends of the workspace, by name."""

    backends: list[Summary]


class History(Strict):
    """Which part of a backend's log: entries after `after`, at most `limit`; `all` has those before the last compaction too."""

    backend: Name
    after: int = Field(0, ge=0)
    limit: int = Field(100, ge=1, le=MAX_LISTED)
    all: bool = False


class Logged(Strict):
    """Entries of a backend's log, oldest first."""

    entries: list[Entry]
    more: bool


class Compare(Strict):
    """Two revisions of a backend; the newest without `new`."""

    backend: Name
    old: int = Field(ge=0)
    new: int | None = Field(None, ge=0)


class Compared(Strict):
    """What is different, as lines and as the operations that turn the old one into the new one."""

    lines: list[str]
    operations: list[Operation]


EDIT = Call("backend", "edit", Edit, Edited)
APPLY = Call("backend", "apply", Apply, Edited)
UNDO = Call("backend", "undo", GoTo, Edited)
CHECKOUT = Call("backend", "checkout", GoTo, Edited)
COMPACT = Call("backend", "compact", Signed, Edited)
SHOW = Call("backend", "show", Which, Shown)
LIST = Call("backend", "list", Nothing, Listed)
LOG = Call("backend", "log", History, Logged)
DIFF = Call("backend", "diff", Compare, Compared)
