"""Calls about component releases: publish, list, yank, rehearse, see what is out of date."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from thalweg.api.calls import Call, Nothing
from thalweg.graph.fields import COMPONENT_PATTERN, Digest, Line, Name, Strict
from thalweg.graph.manifest import Manifest

Author = Annotated[Line, Field(min_length=1, max_length=200)]
FullName = Annotated[str, Field(pattern=COMPONENT_PATTERN.replace(")?$", ")$"), description="NAME@VERSION of a release")]
PUBLISH_TIMEOUT_S = 420.0  # an environment may have to be made


class ReleaseRecord(Strict):
    """A published release as it is stored; nothing of it but the yank ever changes.

    Attributes:
        manifest: of the release; its digest covers code, requirements and data files.
        archive: artifact id of the source archive.
        is_static: neither params nor types depend on code, so that checks need not run it.
        yanked: why it is not to be used any more; None while it is.
    """

    manifest: Manifest
    archive: Digest
    requirements: list[str] = Field([], max_length=1000)
    is_static: bool = False
    author: Author
    time_ns: int
    yanked: Line | None = None

    @property
    def full_name(self) -> str:
        """`name@version`."""
        return f"{self.manifest.name}@{self.manifest.version}"


class Publish(Strict):
    """An uploaded source archive whose components are to be released."""

    archive: Digest
    author: Author


class Published(Strict):
    """What an archive holds: the releases that are new, and those that were published with the same content before."""

    new: list[ReleaseRecord]
    known: list[ReleaseRecord]


class Releases(Strict):
    """Published releases by name and version; those of the standard library are in the package, and not here."""

    releases: list[ReleaseRecord]


class Yank(Strict):
    """A release that is not to be used any more; those who pin it keep it. With `undo` it may be again."""

    component: FullName
    author: Author
    reason: Line = Field("", max_length=1000)
    undo: bool = False


class Yanked(Strict):
    """The release as it is now, and the backends that pin it, as `backend: vertex`."""

    release: ReleaseRecord
    pinned_by: list[str]


class Rehearse(Strict):
    """A candidate: a published release, or an uploaded archive."""

    component: FullName | None = None
    archive: Digest | None = None


class Rehearsed(Strict):
    """What a candidate would do to one backend: the faults that it would have and has not now."""

    backend: Name
    vertices: list[str]
    faults: list[str]


class Rehearsal(Strict):
    """What a candidate would do to all backends that have a vertex of its component.

    Attributes:
        candidates: `name@version` of each.
        archive: artifact id of their source; empty for one of the standard library.
        untouched: how many backends have none of them.
    """

    candidates: list[str]
    archive: str
    backends: list[Rehearsed]
    untouched: int


class RehearseOne(Strict):
    """A candidate, as in `Rehearse`, and one backend that has a vertex of its component."""

    component: FullName | None = None
    archive: Digest | None = None
    backend: Name


class Planned(Strict):
    """A backend as it would be deployed now, and with the candidate: vertex specs in topological order, as JSON.

    Both are empty where one of them is not complete.
    """

    pinned: str
    candidate: str


class AskOutdated(Strict):
    """One backend, or all."""

    backend: Name | None = None


class Outdated(Strict):
    """A vertex that pins a release that is yanked, or that has newer versions."""

    backend: Name
    vertex: Name
    component: str
    newer: list[str]
    yanked: Line | None = None


class OutdatedListed(Strict):
    """By backend and vertex."""

    vertices: list[Outdated]


PUBLISH = Call("component", "publish", Publish, Published)
RELEASES = Call("component", "list", Nothing, Releases)
YANK = Call("component", "yank", Yank, Yanked)
REHEARSE = Call("component", "rehearse", Rehearse, Rehearsal)
REHEARSE_PLAN = Call("component", "rehearse-plan", RehearseOne, Planned)
OUTDATED = Call("backend", "outdated", AskOutdated, OutdatedListed)
