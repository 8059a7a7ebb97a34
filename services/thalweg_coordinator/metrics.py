"""What deployments and their vertices are like, as Prometheus metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from thalweg.api.deployments import DeploymentStatus, State, VertexStatus

_NANO = 1e-9
_VERTEX, _DEPLOYMENT = ["deployment", "vertex"], ["deployment"]
Read = Callable[[VertexStatus], float | None]

# Name, help, and where it is in a vertex's status.
_COUNTERS: list[tuple[str, str, Read]] = [
    ("records_in", "Records taken.", lambda one: one.records_in),
    ("records_out", "Records put out.", lambda one: one.records_out),
    ("records_filtered", "Records that gave nothing.", lambda one: one.filtered),
    ("records_dead", "Records kept aside as dead letters.", lambda one: one.dead),
    ("records_late", "Records that came too late for their window.", lambda one: one.late),
    ("records_dropped", "What a live source has let go of for want of room.", lambda one: one.dropped),
    ("errors", "Calls of the component that raised.", lambda one: one.errors),
    ("written_bytes", "Bytes written to the log.", lambda one: one.bytes_out),
    ("restarts", "Times it was started again, for whatever reason.", lambda one: one.restarts),
    ("cpu_seconds", "Processor time of its process since that was started.", lambda one: one.cpu_s),
]
_GAUGES: list[tuple[str, str, Read]] = [
    ("lag_records", "Records put out for it that it has not taken.", lambda one: one.lag),
    ("waiting_seconds", "Age of the oldest record that waits for it.", lambda one: one.waiting_s),
    ("latency_seconds", "From the newest input being stored to its being committed.", lambda one: one.latency_s),
    ("memory_bytes", "Resident memory of its process.", lambda one: one.memory_bytes),
    ("last_commit_timestamp_seconds", "When its newest commit was stored.", lambda one: one.commit_ns and one.commit_ns * _NANO),
]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was seen in one look.

    Attributes:
        statuses: of every deployment that could be read.
        dropped: log records that the vertex's process has dropped, by (deployment, vertex).
        logs_bytes: what the log records of the workspace take.
        leads: whether this coordinator leads.
        time_ns: when.
    """

    time_ns: int
    leads: bool
    statuses: list[DeploymentStatus] = field(default_factory=list)
    dropped: dict[tuple[str, str], int] = field(default_factory=dict)
    logs_bytes: int = 0


def families(seen: Snapshot) -> Iterator[Metric]:
    """All metrics of a look; labels are names of deployments and vertices, and states, nothing else."""
    yield GaugeMetricFamily("thalweg_coordinator_leader", "1 on the coordinator that leads, else 0.", value=float(seen.leads))
    yield GaugeMetricFamily("thalweg_logs_bytes", "Bytes that the log records of the workspace take.", value=seen.logs_bytes)
    yield from _of_deployments(seen)
    vertices = [(whole.name, one) for whole in seen.statuses for one in whole.vertices]
    for name, told, read in _COUNTERS:
        yield _filled(CounterMetricFamily(f"thalweg_vertex_{name}", told, labels=_VERTEX), vertices, read)
    for name, told, read in _GAUGES:
        yield _filled(GaugeMetricFamily(f"thalweg_vertex_{name}", told, labels=_VERTEX), vertices, read)
    behind = GaugeMetricFamily(
        "thalweg_vertex_watermark_lag_seconds", "Now minus the event time up to which it has worked.", labels=_VERTEX
    )
    yield _filled(behind, vertices, lambda one: one.watermark_ns and (seen.time_ns - one.watermark_ns) * _NANO)
    dropped = CounterMetricFamily("thalweg_vertex_log_records_dropped", "Log records dropped by its process: too many.", labels=_VERTEX)
    for deployment, one in vertices:
        dropped.add_metric([deployment, one.vertex], seen.dropped.get((deployment, one.vertex), 0))
    yield dropped
    states = GaugeMetricFamily("thalweg_vertex_state", "1 for the state that it is in, else 0.", labels=[*_VERTEX, "state"])
    for deployment, one in vertices:
        _add_states(states, [deployment, one.vertex], one.state)
    yield states


def _of_deployments(seen: Snapshot) -> Iterator[Metric]:
    states = GaugeMetricFamily("thalweg_deployment_state", "1 for the state that it is in, else 0.", labels=[*_DEPLOYMENT, "state"])
    size = GaugeMetricFamily("thalweg_deployment_log_bytes", "Bytes of its log.", labels=_DEPLOYMENT)
    messages = GaugeMetricFamily("thalweg_deployment_log_messages", "Messages of its log.", labels=_DEPLOYMENT)
    generation = GaugeMetricFamily("thalweg_deployment_generation", "One more with each redeploy.", labels=_DEPLOYMENT)
    for one in seen.statuses:
        _add_states(states, [one.name], one.state)
        size.add_metric([one.name], one.log_bytes)
        messages.add_metric([one.name], one.log_messages)
        generation.add_metric([one.name], one.generation)
    yield from (states, size, messages, generation)


def _add_states(family: GaugeMetricFamily, labels: list[str], state: State) -> None:
    for one in get_args(State):
        family.add_metric([*labels, one], float(one == state))


def _filled(
    family: CounterMetricFamily | GaugeMetricFamily, vertices: list[tuple[str, VertexStatus]], read: Read
) -> CounterMetricFamily | GaugeMetricFamily:
    for deployment, one in vertices:
        value = read(one)
        if value is not None:
            family.add_metric([deployment, one.vertex], value)
    return family
