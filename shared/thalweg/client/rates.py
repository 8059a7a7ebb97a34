"""Rates of vertices out of two looks at a deployment: its commits' cumulative counters are all that is needed."""

from __future__ import annotations

from dataclasses import dataclass

from thalweg.api.deployments import DeploymentStatus, VertexStatus


@dataclass(frozen=True, slots=True)
class Look:
    """A status, and the clock time in seconds at which it was asked for."""

    at_s: float
    status: DeploymentStatus


@dataclass(frozen=True, slots=True)
class Rates:
    """Per second between two looks; `cpu` is the share of one processor, None where it is not known."""

    records_in: float
    records_out: float
    bytes_out: float
    errors: float
    cpu: float | None


def rates(before: Look, now: Look) -> dict[str, Rates]:
    """By vertex. A vertex that was not there before, and a count that has begun anew, count from 0: no rate is negative."""
    seconds = max(now.at_s - before.at_s, 1e-9)
    same = before.status.deployed_ns == now.status.deployed_ns
    former = {one.vertex: one for one in before.status.vertices} if same else {}
    return {one.vertex: _rates(former.get(one.vertex), one, seconds) for one in now.status.vertices}


def _rates(before: VertexStatus | None, now: VertexStatus, seconds: float) -> Rates:
    def per_second(name: str) -> float:
        return grown(getattr(before, name) if before is not None else 0, getattr(now, name)) / seconds

    is_same_process = before is not None and before.cpu_s is not None and now.cpu_s is not None and before.cpu_s <= now.cpu_s
    cpu = per_second("cpu_s") if is_same_process else None
    return Rates(per_second("records_in"), per_second("records_out"), per_second("bytes_out"), per_second("errors"), cpu)


def grown(before: float, now: float) -> float:
    """By how much a count has grown; all of it where it has begun anew."""
    return now - before if now >= before else now
