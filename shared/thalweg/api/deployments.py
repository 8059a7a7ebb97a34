"""Calls about deployments: deploy, redeploy, undeploy, look at, read what a teardown has saved."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from thalweg.api.calls import Call
from thalweg.api.leases import Leased
from thalweg.graph.fields import Name, Strict

State = Literal["starting", "running", "finished", "failed", "stopping", "stopped"]
Outcome = Literal["finished", "failed", "discarded"]


class Deploy(Leased):
    """A backend to run at a revision (the newest without), under a name (the backend's without).

    Attributes:
        capture: what is recorded of its log: `none`, `all`, `boundary`, or `vertex.port` joined by commas.
    """

    backend: Name
    name: Name | None = None
    revision: int | None = Field(None, ge=0)
    capture: str = Field("none", max_length=4096)


class Redeploy(Leased):
    """A deployment that is to go on as another revision of its backend (the newest without)."""

    name: Name
    revision: int | None = Field(None, ge=0)


class Undeploy(Leased):
    """A deployment that is to end: drained and saved, or at once."""

    name: Name
    discard: bool = False


class Named(Strict):
    """One deployment."""

    name: Name


class MaybeNamed(Strict):
    """One deployment, or all of them."""

    name: Name | None = None


class Restart(Strict):
    """What a redeploy does with one vertex, and why."""

    vertex: str
    action: Literal["keeps running", "restarts", "starts", "ends"]
    reason: str = ""


class Deployed(Strict):
    """What runs now. `changes` has every vertex after a redeploy."""

    name: str
    backend: str
    revision: int
    generation: int
    digest: str
    deployed_ns: int
    vertices: list[str]
    changes: list[Restart] = Field(default_factory=list)


class VertexStatus(Strict):
    """One vertex.

    Attributes:
        reason: why it failed; None else.
        lag: records that were put out for it and that it has not taken; None where that is not known.
        restarts: how often it was started again, for whatever reason.
        watermark_ns: event time up to which it has worked; None before the first record and after the last.
    """

    vertex: str
    component: str
    state: State
    reason: str | None = None
    records_in: int = 0
    records_out: int = 0
    dead: int = 0
    lag: int | None = None
    restarts: int = 0
    watermark_ns: int | None = None
    generation: int = 1


class Kept(Strict):
    """A generated file that was saved."""

    vertex: str
    slot: str
    name: str
    artifact: str
    size_bytes: int


class KeptReplay(Strict):
    """What became of a deployment's capture; see `thalweg.wire.capturing.Captured`."""

    artifact: str | None
    size_bytes: int
    complete: bool
    reason: str | None
    messages: int


class Report(Strict):
    """What a teardown has saved, and what it could not.

    Attributes:
        missing: `vertex.slot` of declared files that were not written.
        undeclared: `vertex: path` of files that were written and not declared; they are not saved.
        unfinished: vertices that had not ended.
        failure: why the deployment failed.
        evidence: id of the evidence.
        replay: what became of the capture; None where there was none.
    """

    name: str
    backend: str
    revision: int
    generation: int
    deployed_ns: int
    time_ns: int
    outcome: Outcome
    generated: list[Kept] = Field(default_factory=list)
    missing: list[str] = Field(default_factory=list)
    undeclared: list[str] = Field(default_factory=list)
    unfinished: list[str] = Field(default_factory=list)
    failure: str | None = None
    evidence: str | None = None
    replay: KeptReplay | None = None


class DeploymentStatus(Strict):
    """One deployment; `report` is there once it is undeployed, and it has no vertices then; `lease` owns it, "" is the workspace."""

    name: str
    backend: str
    revision: int
    generation: int
    deployed_ns: int
    state: State
    lease: str = ""
    vertices: list[VertexStatus] = Field(default_factory=list)
    report: Report | None = None


class Statuses(Strict):
    """Deployments by name."""

    deployments: list[DeploymentStatus]


class Undeploying(Strict):
    """A teardown has begun; its report will have this `deployed_ns`."""

    name: str
    deployed_ns: int


class Reported(Strict):
    """The newest teardown's report of a name; None where nothing of that name was torn down."""

    report: Report | None


DEPLOY = Call("deployment", "deploy", Deploy, Deployed)
REDEPLOY = Call("deployment", "redeploy", Redeploy, Deployed)
UNDEPLOY = Call("deployment", "undeploy", Undeploy, Undeploying)
STATUS = Call("deployment", "status", MaybeNamed, Statuses)
REPORT = Call("deployment", "report", Named, Reported)
