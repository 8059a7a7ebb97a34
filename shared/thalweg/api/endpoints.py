"""Calls about endpoints: what there are, where their URLs lead, new tokens."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from thalweg.api.calls import Call
from thalweg.api.leases import Leased
from thalweg.graph.fields import Name, Strict

MAX_GRACE_S, DEFAULT_GRACE_S = 30 * 86_400.0, 3600.0


class MaybeOfBackend(Strict):
    """Endpoints of one backend, or of all."""

    backend: Name | None = None


class WhichEndpoint(Strict):
    """One endpoint; `name` is `vertex.endpoint`, or an alias."""

    backend: Name
    name: str = Field(min_length=1, max_length=127)


class Rotate(Leased):
    """A new token for an endpoint; those before it stay valid for `grace_s`."""

    backend: Name
    name: str = Field(min_length=1, max_length=127)
    grace_s: float = Field(DEFAULT_GRACE_S, ge=0, le=MAX_GRACE_S, allow_inf_nan=False)


class TokenInfo(Strict):
    """A token, of which nothing else is known any more."""

    created_ns: int
    expires_ns: int | None


class EndpointInfo(Strict):
    """One endpoint.

    Attributes:
        side: whether records go in or come out.
        path: of its URL, on the gateway.
        subject: on NATS; None while nothing is deployed.
        type: stream type of a record; None while nothing is deployed.
        deployment: which one the URL leads to; None where it has none, or that one is gone.
        aliases: names that lead to it, as in `/a/<backend>/<alias>`.
        tokens: those that are valid, newest first.
    """

    backend: Name
    vertex: Name
    endpoint: Name
    side: Literal["in", "out"]
    path: str
    subject: str | None = None
    type: str | None = None
    deployment: Name | None = None
    aliases: list[str] = Field(default_factory=list)
    tokens: list[TokenInfo] = Field(default_factory=list)

    @property
    def name(self) -> str:
        """As commands call it."""
        return f"{self.vertex}.{self.endpoint}"


class EndpointsListed(Strict):
    """By backend and name."""

    endpoints: list[EndpointInfo]


class Rotated(Strict):
    """An endpoint, and its new token, which is told this once."""

    endpoint: EndpointInfo
    token: str = Field(repr=False)


LIST = Call("endpoint", "list", MaybeOfBackend, EndpointsListed)
SHOW = Call("endpoint", "show", WhichEndpoint, EndpointInfo)
ROTATE = Call("endpoint", "rotate", Rotate, Rotated)
