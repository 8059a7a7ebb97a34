"""Calls that issue credentials for NATS: to programs for some endpoints, to vertices that something else keeps running."""

from __future__ import annotations

from pydantic import Field

from thalweg.api.calls import Call
from thalweg.graph.fields import Name, Strict

MAX_LIFE_S = 10 * 366 * 86_400.0


class ForProgram(Strict):
    """Of a program that publishes to some input endpoints of a backend, and subscribes to some output endpoints.

    Attributes:
        names: `vertex.endpoint`, or aliases.
        life_s: how long they are good; None for ever.
    """

    backend: Name
    names: list[str] = Field(min_length=1, max_length=64)
    life_s: float | None = Field(None, ge=1, le=MAX_LIFE_S, allow_inf_nan=False)


class ForVertices(Strict):
    """Of every vertex, and every partition of one, of a deployment; `life_s` as in `ForProgram`."""

    deployment: Name
    life_s: float | None = Field(None, ge=1, le=MAX_LIFE_S, allow_inf_nan=False)


class Issued(Strict):
    """Credentials, which are told this once.

    Attributes:
        name: whose: of a program the backend's, else the vertex's.
        text: content of a `.creds` file.
        inbox: prefix of the subjects that it may be answered on; clients have to be told.
        publish, subscribe: subjects of endpoints.
        expires_s: until when they are good, seconds since 1970, UTC; None for ever.
    """

    name: str
    text: str = Field(repr=False)
    inbox: str
    publish: list[str] = Field(default_factory=list)
    subscribe: list[str] = Field(default_factory=list)
    expires_s: int | None = None


class AllIssued(Strict):
    """By vertex."""

    credentials: list[Issued]


PROGRAM = Call("credential", "program", ForProgram, Issued)
VERTICES = Call("credential", "vertices", ForVertices, AllIssued)
