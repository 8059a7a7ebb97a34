"""Calls about leases: open, renew, look into, promote out of, end; and how a request says that it acts for one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from thalweg.api.calls import Call, Nothing
from thalweg.errors import RejectedError
from thalweg.graph.fields import Line, Name, Strict, is_name

MIN_TTL_S, MAX_TTL_S, DEFAULT_TTL_S = 1.0, 30 * 86_400.0, 600.0
MAX_THINGS = 1000
KINDS = ("backend", "deployment", "evidence", "file", "report", "secret")
State = Literal["open", "committing", "rolling back", "committed", "rolled back"]
Kind = Literal["backend", "deployment", "evidence", "file", "report", "secret"]
Ttl = Annotated[float, Field(ge=MIN_TTL_S, le=MAX_TTL_S, allow_inf_nan=False)]


def _check_thing(text: str) -> str:
    kind, colon, name = text.partition(":")
    if kind not in KINDS or not colon or not is_name(name.removeprefix("sha256:")[:63]) or len(name) > 80:
        raise ValueError(f"{text[:80]!r} is not KIND:NAME, of kind {', '.join(KINDS)}")
    return text


class Thing(Strict):
    """Something that a lease owns; files are named by artifact id."""

    kind: Kind
    name: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


class Done(Strict):
    """What became of a thing at the end of its lease."""

    thing: Thing
    action: Literal["promoted", "removed"]


class Lease(Strict):
    """A lease as it is stored.

    Attributes:
        ttl_s: how long it is held without a renewal.
        expires_ns: when it ends unless it is renewed.
        ended_ns: when it was committed or rolled back whole; None before.
        reason: why it ends.
        done: what became of its things, in order.
    """

    id: Name
    author: Line
    note: Line = ""
    ttl_s: Ttl
    opened_ns: int
    expires_ns: int
    state: State = "open"
    ended_ns: int | None = None
    reason: Line = ""
    done: list[Done] = Field(default_factory=list)

    def is_over(self, now_ns: int) -> bool:
        """Whether nothing may be made under it any more."""
        return self.state != "open" or now_ns >= self.expires_ns

    def require_open(self, now_ns: int) -> None:
        """Raises RejectedError (`lease.ended`) unless it is open."""
        if self.is_over(now_ns):
            what = "has expired" if self.state == "open" else f"is {self.state}"
            raise RejectedError(f"lease {self.id} {what}", code="lease.ended", hint="`thalweg lease open` opens another one", lease=self.id)


class Leased(Strict):
    """A request on behalf of a lease; of the workspace without one. Each changes only what it owns itself."""

    lease: Name | None = None

    @property
    def owner(self) -> str:
        """As resources note it: the lease's id, "" for the workspace."""
        return self.lease or ""


class Open(Strict):
    """A lease to open."""

    author: Line = Field(min_length=1, max_length=200)
    note: Line = ""
    ttl_s: Ttl = DEFAULT_TTL_S
    id: Name | None = None


class Which(Strict):
    """A lease by its id."""

    id: Name


class Renew(Strict):
    """A lease to hold from now on for its time, or another one."""

    id: Name
    ttl_s: Ttl | None = None


class Promote(Strict):
    """Things, as `KIND:NAME`, that a lease's end is not to touch; what they need comes along."""

    id: Name
    things: list[Annotated[str, AfterValidator(_check_thing)]] = Field(min_length=1, max_length=MAX_THINGS)


class End(Strict):
    """A lease to end now."""

    id: Name
    reason: Line = ""


class Shown(Strict):
    """A lease, and what it owns."""

    lease: Lease
    things: list[Thing]


class Listed(Strict):
    """All leases that are kept, the oldest first: those that ended too, for a while."""

    leases: list[Lease]


class Promoted(Strict):
    """What is the workspace's now."""

    things: list[Thing]


OPEN = Call("lease", "open", Open, Lease)
LIST = Call("lease", "list", Nothing, Listed)
SHOW = Call("lease", "show", Which, Shown)
RENEW = Call("lease", "renew", Renew, Lease)
PROMOTE = Call("lease", "promote", Promote, Promoted)
COMMIT = Call("lease", "commit", End, Lease)
ROLLBACK = Call("lease", "rollback", End, Lease)


def check_owner(kind: str, name: str, owner: str, wanted: str) -> None:
    """Raises RejectedError (`lease.foreign`) unless a thing belongs to who wants to change it.

    Args:
        kind, name: the thing.
        owner: whose it is: a lease's id, "" for the workspace.
        wanted: who asks, likewise.
    """
    if owner != wanted:
        raise _foreign(kind, name, owner, "change")


def check_visible(kind: str, name: str, owner: str, wanted: str) -> None:
    """Raises RejectedError (`lease.foreign`) unless a thing is the workspace's, or belongs to who wants to use it."""
    if owner not in ("", wanted):
        raise _foreign(kind, name, owner, "use")


def _foreign(kind: str, name: str, owner: str, verb: str) -> RejectedError:
    whose = f"lease {owner}" if owner else "the workspace"
    hint = f"--lease {owner} acts for it; `thalweg lease promote {owner} {kind}:{name}` takes it out" if owner else "leave out --lease"
    return RejectedError(f"{kind} {name} belongs to {whose}: nobody else may {verb} it", code="lease.foreign", hint=hint, owner=owner)
