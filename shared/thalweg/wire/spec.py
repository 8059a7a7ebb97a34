"""The deployment spec: what the coordinator stores, a vertex service runs from, and a run reproduces from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from thalweg.graph.manifest import Combine, Memory
from thalweg.launching import LauncherName
from thalweg.wire.commit import Commit
from thalweg.wire.rewind import Rewind, Void, is_pending

OnError = Literal["fail", "dead-letter", "retry"]
EndpointSide = Literal["", "in", "out"]
Desired = Literal["running", "draining", "discarding", "stopped"]


OPENING = "_opening"  # slot of the recorded records that a source puts out before its own; no component can have one of that name
INLET_KEY = "outside>in"  # in a vertex's positions, for its input endpoint


class EdgeSpec(msgspec.Struct, frozen=True):
    """`src_vertex.src_port -> dst_port` of the vertex that holds it.

    `type` is the source port's resolved stream type; into a generic port (`T`), the type that all edges into it are read as.
    `voids` are messages that the source has written anew since; nothing is read that lies before the sequence `start`.
    """

    src_vertex: str
    src_port: str
    dst_port: str
    type: str
    voids: list[Void] = []
    start: int = 0

    @property
    def key(self) -> str:
        """Name of this edge in a vertex's positions."""
        return f"{self.src_vertex}.{self.src_port}>{self.dst_port}"


class FileSpec(msgspec.Struct, frozen=True):
    """A bound input file: `artifact` is `sha256:<hex>`; `name` its file name; `size_bytes`; directories are tarred: `directory`."""

    artifact: str
    name: str
    size_bytes: int
    directory: bool = False


class Follows(msgspec.Struct, frozen=True):
    """Another run, whose order of the inputs a vertex is to follow: its replay; edge key -> `vertex.port` that it was there."""

    replay: FileSpec
    edges: dict[str, str]


class Share(msgspec.Struct, frozen=True):
    """Which records one partition of a vertex takes: those whose key, or id where there is no key, falls to it.

    Attributes:
        index: of the partition, from 0.
        count: of partitions.
        key: field of the records that decides; None deals them out by their ids.
    """

    index: int
    count: int
    key: str | None = None


class VertexSpec(msgspec.Struct, frozen=True):
    """One vertex as deployed. `outputs` maps port -> resolved stream type; `code` locates the component's module.

    Attributes:
        generation: of the deployment, in which the vertex became what it is here; a redeploy leaves unchanged vertices as they are.
        stop_after: a source ends after so many records, as one did that was drained, and so does what comes from outside; None where it
            ends by itself.
        rewind: it was asked to go back; stays when that is done.
        fed: artifact id of a file whose records come in place of its own, or before them; "" for none.
        fresh_since: a source's cursor of an earlier generation does not count: it was that of another source.
        share: of its input, for one partition of a vertex; None takes all.
        endpoint: `in`: its input port of that name is fed from outside, `out`: its output port of that name is read there.
        combine: how several inputs are combined, as the release declares it.
        follows: the run whose order it takes its inputs in; None where `combine` decides.
        memory: what of the records before goes into what becomes of a record, as the release declares it.
        retired: the generation in which others took its place, as the partitions of the vertex were changed; 0: it works. What it wrote is
            read to its end; nothing runs it any more.
    """

    name: str
    component: str  # name@version
    digest: str  # sha256:<hex> of the component's source
    code: str  # import path `package.module`, absolute path of a .py file, or name of a file in the archive
    kind: Literal["source", "processor", "sink"]
    params: dict[str, Any] = {}
    inputs: list[EdgeSpec] = []
    outputs: dict[str, str] = {}
    files: dict[str, FileSpec] = {}
    generated: dict[str, str] = {}  # slot -> file name as it will be saved
    secrets: dict[str, str] = {}  # slot -> name of a workspace secret, never a value
    on_error: OnError = "fail"
    archive: str = ""  # artifact id of the source of a published release
    deterministic: bool = True
    generated_types: dict[str, str] = {}  # slot -> artifact type
    generation: int = 1
    stop_after: int | None = None
    rewind: Rewind | None = None
    endpoint: EndpointSide = ""
    fed: str = ""
    fresh_since: int = 0
    share: Share | None = None
    combine: Combine = "event-time"
    follows: Follows | None = None
    memory: Memory = "none"
    retired: int = 0

    @property
    def is_by_arrival(self) -> bool:
        """Whether it merges several inputs as they come."""
        return self.combine == "arrival" and len(self.inputs) > 1

    @property
    def needs_store(self) -> bool:
        """Whether it reads or writes anything in the file store."""
        return bool(self.files or self.generated or self.archive or self.follows)

    def is_same_work(self, other: VertexSpec) -> bool:
        """Whether a vertex that works by one of the two may go on working by the other."""
        return self._work() == other._work()

    def _work(self) -> VertexSpec:
        inputs = [msgspec.structs.replace(one, voids=[], start=0) for one in self.inputs]
        return msgspec.structs.replace(self, generation=0, rewind=None, inputs=inputs, fresh_since=0, memory="none")


class ExpectSpec(msgspec.Struct, frozen=True):
    """Bounds of the record count of a port."""

    vertex: str
    port: str
    min: int | None = None
    max: int | None = None


class DeploymentSpec(msgspec.Struct, frozen=True):
    """One deployment at one generation.

    Attributes:
        replicas: on how many servers its log is kept.
        desired: `draining`: sources end now, then everything else does, and what is left is saved; `discarding`: all goes at once.
        revision, graph_digest: of the backend; 0 and "" where it is no stored one.
        deployed_ns: when the name was deployed; tells this deployment from another one of the same name.
        capture: what is recorded of its log: `none`, `all`, `boundary`, or `vertex.port` joined by commas.
        capture_last_s: only the last part of that is kept, so long; 0 for all of it.
        capture_max_bytes: how much disk that part may take.
        capture_on: what has it saved by itself: see `thalweg.wire.capturing.TRIGGERS`.
        keep_messages, keep_s: what trimming leaves on the log though everyone has read it: so many messages, or of so long.
        aliases: of the backend's endpoints, as `vertex.endpoint`.
        lease: which owns it; "" for the workspace.
        launcher: what runs its vertices.
    """

    workspace: str
    name: str
    backend: str
    vertices: list[VertexSpec]
    desired: Desired = "running"
    revision: int = 0
    graph_digest: str = ""
    generation: int = 1
    deployed_ns: int = 0
    expect: list[ExpectSpec] = []
    storage: Literal["file", "memory"] = "file"
    replicas: int = 1
    max_messages_per_subject: int = 1024
    batch_records: int = 4096
    batch_bytes: int = 1_048_576
    capture: str = "none"
    capture_last_s: float = 0.0
    capture_max_bytes: int = 1 << 30
    capture_on: list[str] = []
    keep_messages: int = 0
    keep_s: float = 0.0
    aliases: dict[str, str] = {}
    lease: str = ""
    launcher: LauncherName = "process"

    @property
    def run(self) -> str:
        """Tells this life of the deployment from all others, also of the same name: its log begins with it."""
        return f"{self.workspace}/{self.name}@{self.deployed_ns}"

    @property
    def is_traced(self) -> bool:
        """Whether records say which one from outside they come from."""
        return any(one.endpoint == "in" for one in self.vertices)

    def has_ended(self, commits: Mapping[str, Commit]) -> bool:
        """Whether every vertex has."""
        return all(has_ended(one, commits.get(one.name)) for one in self.vertices)

    def has_failed(self, commits: Mapping[str, Commit]) -> bool:
        """Whether a vertex has, as it is deployed now: a redeploy gives one that it starts anew another try."""
        return any(is_failed(one, commits.get(one.name)) for one in self.vertices)


def has_ended(vertex: VertexSpec, commit: Commit | None) -> bool:
    """Whether a vertex has come to its end, and is not to go back from there; one that was retired has when nothing of it can follow."""
    if commit is None or vertex.retired:
        return commit is not None and (commit.retired >= vertex.retired or commit.ended)
    return commit.ended and not is_pending(vertex.rewind, commit)


def is_failed(vertex: VertexSpec, commit: Commit | None) -> bool:
    """Whether a vertex has failed as it is deployed now; one that was retired is not deployed any more."""
    return commit is not None and commit.failure is not None and commit.generation >= vertex.generation and not vertex.retired
