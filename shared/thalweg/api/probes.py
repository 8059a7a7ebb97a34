"""Calls that try the outside connections of vertices before anything is deployed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from thalweg.api.calls import Call
from thalweg.api.leases import Leased
from thalweg.graph.fields import Name, Strict

MAX_VERTICES = 1000
PROBES_TIMEOUT_S = 60.0  # of all together; the call waits a little longer


class Probing(Strict):
    """What a vertex would connect with: its pinned release, params, and the names of its secrets by slot."""

    vertex: Name
    component: str
    code: str
    digest: str
    archive: str = ""
    params: dict[str, Any] = Field(default_factory=dict)
    secrets: dict[str, Name] = Field(default_factory=dict)


class Probe(Leased):
    """Vertices whose outside connections are to be opened, and closed again, where the coordinator runs."""

    vertices: list[Probing] = Field(max_length=MAX_VERTICES)


class Connection(Strict):
    """How a vertex's outside connections are.

    Attributes:
        outcome: `unreachable`: nobody answers, so try later; `refused`: somebody does, and says no.
        target: who was tried, without credentials; "" where the component does not say.
        reason: of one that did not open; one line.
    """

    vertex: str
    component: str
    outcome: Literal["opened", "unreachable", "refused"]
    target: str = ""
    reason: str = ""
    code: str = ""
    hint: str | None = None


class Probed(Strict):
    """One for each vertex, in the order in which they were given."""

    connections: list[Connection]


PROBE = Call("deployment", "probe", Probe, Probed)
