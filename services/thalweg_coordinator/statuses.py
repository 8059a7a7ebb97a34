"""Says how a deployment stands, from its spec and the heads of its log: any coordinator can, whoever cares for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thalweg.api.deployments import DeploymentStatus, State, VertexStatus
from thalweg.bus.heads import StoredMessage, latest_commits
from thalweg.runtime.inputs import BEGINNING
from thalweg.wire.commit import END_OF_TIME, Commit
from thalweg.wire.partitions import records_taken
from thalweg.wire.receipts import delivered
from thalweg.wire.rewind import is_pending
from thalweg.wire.spec import DeploymentSpec, VertexSpec, has_ended, is_failed
from thalweg.wire.subjects import parse_port
from thalweg_coordinator.latency import latency_s, newest_head


@dataclass(frozen=True, slots=True)
class Usage:
    """What a vertex's process uses: memory, and processor time since it was started."""

    memory_bytes: int
    cpu_s: float


def describe(
    spec: DeploymentSpec, heads: list[StoredMessage], waiting: Mapping[str, float] | None = None, usage: Mapping[str, Usage] | None = None
) -> DeploymentStatus:
    """The status of a deployment.

    Args:
        spec: as stored.
        heads: of its log; none where it has no log yet.
        waiting: by vertex, how long the oldest record waits for it.
        usage: by vertex, where it is known.
    """
    commits = latest_commits(heads)
    sequences = {place[:2]: head.sequence for head in heads if (place := parse_port(head.subject)) is not None}
    state = _state(spec, commits)
    return DeploymentStatus(
        name=spec.name,
        backend=spec.backend,
        revision=spec.revision,
        generation=spec.generation,
        deployed_ns=spec.deployed_ns,
        state=state,
        lease=spec.lease,
        launcher=spec.launcher,
        vertices=[
            _vertex(one, state, commits, sequences, _is_counted(spec, one)).model_copy(
                update=_times(one, heads, (waiting or {}).get(one.name))
                | _usage((usage or {}).get(one.name))
                | _delivered(one, commits.get(one.name))
            )
            for one in spec.vertices
        ],
        position=max((one.sequence for one in heads), default=0),
    )


def _times(spec: VertexSpec, heads: list[StoredMessage], waiting_s: float | None) -> dict[str, Any]:
    newest = newest_head(spec.name, heads)
    return {"commit_ns": newest.time_ns if newest else None, "waiting_s": waiting_s, "latency_s": latency_s(spec, heads)}


def _delivered(spec: VertexSpec, commit: Commit | None) -> dict[str, Any]:
    found = delivered(spec, commit)
    return {"delivered": found.count, "target": found.target} if found is not None else {}


def _usage(found: Usage | None) -> dict[str, Any]:
    return {"memory_bytes": found.memory_bytes, "cpu_s": found.cpu_s} if found is not None else {}


def _state(spec: DeploymentSpec, commits: Mapping[str, Commit]) -> State:
    if spec.desired == "stopped":
        return "stopped"
    if spec.desired in ("draining", "discarding"):
        return "stopping"
    if spec.has_failed(commits):
        return "failed"
    if spec.has_ended(commits):
        return "finished"
    return "running" if all(one.name in commits for one in spec.vertices) else "starting"


def _vertex(
    spec: VertexSpec, whole: State, commits: Mapping[str, Commit], sequences: Mapping[tuple[str, str], int], is_counted: bool
) -> VertexStatus:
    commit = commits.get(spec.name)
    if commit is None:
        state: State = "retired" if spec.retired else _unless_over("starting", whole)
        return VertexStatus(vertex=spec.name, component=spec.component, state=state, generation=spec.generation)
    return VertexStatus(
        vertex=spec.name,
        component=spec.component,
        state=_vertex_state(spec, whole, commit),
        reason=_reason(spec, commit),
        records_in=commit.counters.records_in,
        records_out=commit.counters.records_out,
        dead=commit.counters.dead,
        dead_open=commit.counters.open_letters,
        lag=_lag(spec, commit, commits, sequences) if is_counted else None,
        restarts=max(0, commit.epoch - 1),
        watermark_ns=commit.watermark if BEGINNING < commit.watermark < END_OF_TIME else None,
        generation=commit.generation,
        filtered=commit.counters.filtered,
        late=commit.counters.late,
        dropped=commit.counters.dropped,
        errors=commit.counters.errors,
        bytes_out=commit.counters.bytes_out,
    )


def _is_counted(spec: DeploymentSpec, vertex: VertexSpec) -> bool:
    """Whether what a vertex has read can be compared with what was put out: not where one was counted anew and the other was not."""
    rewinds = {one.name: one.rewind for one in spec.vertices}
    if vertex.rewind is not None and vertex.rewind.state == "empty":
        return False
    sources = [(edge, found) for edge in vertex.inputs if (found := rewinds.get(edge.src_vertex)) is not None]
    return all(found.state != "empty" and any(one.below == found.generation for one in edge.voids) for edge, found in sources)


def _vertex_state(spec: VertexSpec, whole: State, commit: Commit) -> State:
    if spec.retired:
        return "retired"
    if is_failed(spec, commit):
        return "failed"
    if has_ended(spec, commit):
        return "finished"
    return _unless_over("starting" if commit.generation < spec.generation else "running", whole)


def _unless_over(state: State, whole: State) -> State:
    """A vertex that has not ended is stopped where its deployment has failed or was stopped."""
    return "stopped" if whole in ("failed", "stopped") else state


def _reason(spec: VertexSpec, commit: Commit) -> str | None:
    if is_failed(spec, commit) and commit.failure is not None:
        return commit.failure.message
    if spec.retired:
        return f"others took its place in generation {spec.retired}"
    if is_pending(spec.rewind, commit):
        return "goes back"
    if commit.ended and commit.generation < spec.generation:
        return f"ended as of generation {commit.generation}, before it could change"
    return (
        "; ".join(
            [f"wrote no file for slot {slot}" for slot in commit.missing] + [f"wrote {path}, undeclared" for path in commit.undeclared]
        )
        or None
    )


def _lag(spec: VertexSpec, commit: Commit, commits: Mapping[str, Commit], sequences: Mapping[tuple[str, str], int]) -> int | None:
    """By counts; 0 where every edge has been read to its end, whatever an added vertex was not given; of its whole vertex."""
    if not spec.inputs or spec.retired or is_pending(spec.rewind, commit):
        return None
    behind = [one for one in spec.inputs if sequences.get((one.src_vertex, one.src_port), 0) >= commit.positions.get(one.key, (1, 0))[0]]
    if not behind:
        return 0
    given = sum(
        commits[one.src_vertex].ports[one.src_port].count
        for one in spec.inputs
        if one.src_vertex in commits and one.src_port in commits[one.src_vertex].ports
    )
    return max(0, given - records_taken(commits, spec.name))
