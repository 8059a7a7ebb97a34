"""Calls about deployments: deploy, redeploy, undeploy, look at, read what a teardown has saved."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from thalweg.api.calls import Call
from thalweg.api.leases import Leased
from thalweg.graph.fields import Name, Strict
from thalweg.launching import LauncherName

State = Literal["starting", "running", "finished", "failed", "retired", "stopping", "stopped"]
Outcome = Literal["finished", "failed", "discarded"]
MIN_RING_BYTES = 64 << 20  # a few commits at least, however large
StateThen = Literal["kept", "empty", "none yet"]  # as in `thalweg.wire.rewind`


class Replaced(Strict):
    """Sources whose records come from a file.

    Attributes:
        artifact: a replay or fixture.
        name: of that file, which tells what it is.
        vertices: which sources; without any, all.
        go_on: they go on by themselves where its records end.
    """

    artifact: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    name: str = Field(min_length=1, max_length=255, pattern=r"^[^/\x00]+$")
    vertices: list[Name] = Field(default_factory=list, max_length=1000)
    go_on: bool = False


class Deploy(Leased):
    """A backend to run at a revision (the newest without), under a name (the backend's without).

    Attributes:
        capture: what is recorded of its log: `none`, `all`, `boundary`, or `vertex.port` joined by commas.
        capture_last_s: only the last part of that is kept, so long, and saved when it is asked for; 0 for all of it.
        capture_max_bytes: how much disk that part may take.
        capture_on: what has it saved by itself.
        replaced: sources whose records come from a file.
        keep_messages, keep_s: what is left on the log though all have read it, so that vertices can go back: so many messages, or
            the messages of so many seconds.
        launcher: what runs its vertices; None for what the coordinator is set to.
    """

    backend: Name
    name: Name | None = None
    revision: int | None = Field(None, ge=0)
    capture: str = Field("none", max_length=4096)
    capture_last_s: float = Field(0.0, ge=0, le=10**7, allow_inf_nan=False)
    capture_max_bytes: int = Field(1 << 30, ge=MIN_RING_BYTES, le=1 << 44)
    capture_on: list[Literal["error", "expectation", "dead-letter"]] = Field(default_factory=list, max_length=3)
    replaced: Replaced | None = None
    keep_messages: int = Field(0, ge=0, le=10**9)
    keep_s: float = Field(0.0, ge=0, le=10**8, allow_inf_nan=False)
    launcher: LauncherName | None = None

    @model_validator(mode="after")
    def _keeps_by_one(self) -> Deploy:
        if self.keep_messages and self.keep_s:
            raise ValueError("keep_messages and keep_s: give one of them")
        return self

    @model_validator(mode="after")
    def _has_what_triggers_save(self) -> Deploy:
        if self.capture_on and not self.capture_last_s:
            raise ValueError("capture_on: there is nothing to save without capture_last_s")
        if self.capture_last_s and self.capture == "none":
            raise ValueError("capture_last_s: nothing is captured")
        return self


class Start(Strict):
    """A place on a log: a sequence, or a time (UTC ns) by the server's clock."""

    position: int | None = Field(None, ge=1, le=2**63 - 1)
    time_ns: int | None = Field(None, ge=0, le=2**63 - 1)

    @model_validator(mode="after")
    def _is_one(self) -> Start:
        if (self.position is None) == (self.time_ns is None):
            raise ValueError("give either a position or a time")
        return self


class Redeploy(Leased):
    """A deployment that is to go on as another revision of its backend (the newest without).

    Attributes:
        start: what vertices have committed from there on, they do again.
        vertices: which do; without any, all that read inputs.
        replaced: sources whose records come from a file from now on; those that did before and are not among them are live again.
    """

    name: Name
    revision: int | None = Field(None, ge=0)
    start: Start | None = None
    vertices: list[Name] = Field(default_factory=list, max_length=1000)
    replaced: Replaced | None = None


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
    """What a redeploy does with one vertex, and why; of one that goes back, what becomes of its state."""

    vertex: str
    action: Literal["keeps running", "restarts", "starts", "ends", "retires", "goes back"]
    reason: str = ""
    state: StateThen | None = None


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
        filtered, late, errors: records that gave nothing, records that came too late for their window, calls that raised.
        dropped: what a live source has let go of for want of room.
        bytes_out: what it has written to the log, states and dead letters too.
        commit_ns: when its newest commit was stored.
        waiting_s: age of the oldest record that waits for it; 0 where none does, None where that is not known.
        latency_s: from the newest input that it has taken being stored to that being committed; None where that is not known.
        dead_open: dead letters about which nothing was done.
        delivered: records that its target has taken; None for one that gives no receipts.
        target: who took the last one, without credentials.
        memory_bytes, cpu_s: of its process; None where it does not run, or the one who answers has not started it.
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
    filtered: int = 0
    late: int = 0
    dropped: int = 0
    errors: int = 0
    bytes_out: int = 0
    commit_ns: int | None = None
    waiting_s: float | None = None
    latency_s: float | None = None
    memory_bytes: int | None = None
    cpu_s: float | None = None
    delivered: int | None = None
    target: str = ""
    dead_open: int = 0


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
    window: bool = False


class KeptWindow(Strict):
    """A window of a log that was saved; see `thalweg.wire.capturing.SavedWindow`."""

    id: str
    cause: str
    by_itself: bool
    captured: KeptReplay
    first: int
    last: int
    from_ns: int
    to_ns: int


class RingStatus(Strict):
    """The last part of a log as it is kept now; see `thalweg.wire.capturing.RingNote`.

    Attributes:
        last_s, max_bytes, triggers: as it was deployed.
    """

    last_s: float
    max_bytes: int
    triggers: list[str]
    first: int
    last: int
    from_ns: int
    to_ns: int
    size_bytes: int
    passed_over: int
    saved: list[KeptWindow]
    failing: str | None


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
    """One deployment.

    Attributes:
        lease: who owns it; "" is the workspace.
        launcher: what runs its vertices.
        current: the URLs of its backend's endpoints lead to it.
        report: there once it is undeployed; it has no vertices then.
        log_bytes, log_messages: what its log holds now.
        position: sequence of the last message that its vertices have written; 0 for none.
        ring: the last part of its log, where that is kept.
    """

    name: str
    backend: str
    revision: int
    generation: int
    deployed_ns: int
    state: State
    lease: str = ""
    launcher: str = "process"
    current: bool = False
    vertices: list[VertexStatus] = Field(default_factory=list)
    report: Report | None = None
    position: int = 0
    log_bytes: int = 0
    log_messages: int = 0
    ring: RingStatus | None = None


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
