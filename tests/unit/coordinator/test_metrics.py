"""Metrics are what Prometheus reads, by its own parser."""

from __future__ import annotations

import asyncio
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from thalweg.api.deployments import DeploymentStatus, VertexStatus
from thalweg.embedded.servers import free_ports
from thalweg.errors import RejectedError, UnreachableError
from thalweg_coordinator.metrics import Snapshot, families
from thalweg_coordinator.metrics_server import MetricsServer

Sample = tuple[str, tuple[tuple[str, str], ...]]


def a_snapshot() -> Snapshot:
    step = VertexStatus(
        vertex="step",
        component="c@1",
        state="running",
        records_in=12,
        records_out=7,
        filtered=5,
        dead=1,
        late=2,
        errors=3,
        bytes_out=999,
        lag=4,
        restarts=1,
        watermark_ns=5_000_000_000,
        memory_bytes=1 << 20,
        cpu_s=1.5,
        commit_ns=6_000_000_000,
        waiting_s=0.5,
    )
    new = VertexStatus(vertex="new", component="c@1", state="starting")
    whole = DeploymentStatus(
        name="d", backend="b", revision=1, generation=2, deployed_ns=1, state="starting", vertices=[step, new], log_bytes=10, log_messages=3
    )
    return Snapshot(9_000_000_000, True, [whole], {("d", "step"): 8}, 77)


def samples(text: str) -> dict[Sample, float]:
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in parse(text) for one in family.samples}


class Fixed(CollectorRegistry):
    def collect(self):  # type: ignore[no-untyped-def]
        return families(a_snapshot())


def test_every_count_has_its_metric() -> None:
    found, step = samples(generate_latest(Fixed()).decode()), (("deployment", "d"), ("vertex", "step"))
    told = {
        "records_in_total": 12,
        "records_out_total": 7,
        "records_filtered_total": 5,
        "records_dead_total": 1,
        "records_late_total": 2,
        "errors_total": 3,
        "written_bytes_total": 999,
        "restarts_total": 1,
        "cpu_seconds_total": 1.5,
        "lag_records": 4,
        "waiting_seconds": 0.5,
        "memory_bytes": 1 << 20,
        "last_commit_timestamp_seconds": 6,
        "watermark_lag_seconds": 4,
        "log_records_dropped_total": 8,
    }
    assert {name: found[f"thalweg_vertex_{name}", step] for name in told} == told
    assert found["thalweg_deployment_log_bytes", (("deployment", "d"),)] == 10
    assert found["thalweg_deployment_generation", (("deployment", "d"),)] == 2
    assert found["thalweg_coordinator_leader", ()] == 1 and found["thalweg_logs_bytes", ()] == 77


def test_what_is_not_known_is_left_out_and_one_state_is_true() -> None:
    found, new = samples(generate_latest(Fixed()).decode()), (("deployment", "d"), ("vertex", "new"))
    assert ("thalweg_vertex_memory_bytes", new) not in found and ("thalweg_vertex_lag_records", new) not in found
    states = {
        labels: value for (name, labels), value in found.items() if name == "thalweg_vertex_state" and dict(labels)["vertex"] == "new"
    }
    assert len(states) == 7 and [dict(labels)["state"] for labels, value in states.items() if value] == ["starting"]


def test_it_is_good_openmetrics_too() -> None:
    text = generate_openmetrics(Fixed()).decode()  # type: ignore[no-untyped-call]
    assert len(list(parse_openmetrics(text))) > 15  # type: ignore[no-untyped-call]


async def scrape(port: int) -> dict[Sample, float]:
    def read() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
            return str(reply.read().decode())

    return samples(await asyncio.to_thread(read))


async def test_a_look_serves_all_who_ask_within_a_second() -> None:
    looks = 0

    async def look() -> Snapshot:
        nonlocal looks
        looks += 1
        return a_snapshot()

    server, (port,) = MetricsServer(look), free_ports(1)
    server.open("127.0.0.1", port)
    try:
        server.count_call("deployment", "status", None)
        server.count_call("deployment", "deploy", RejectedError("no"))
        server.count_call("deployment", "deploy", UnreachableError("no"))
        server.note_reconcile(0.01)
        found, _ = await asyncio.gather(scrape(port), scrape(port))
        assert looks == 1
        assert found["thalweg_api_calls_total", (("outcome", "ok"), ("resource", "deployment"), ("verb", "status"))] == 1
        assert found["thalweg_api_calls_total", (("outcome", "rejected"), ("resource", "deployment"), ("verb", "deploy"))] == 1
        assert found["thalweg_coordinator_reconcile_seconds_count", ()] == 1
        other = MetricsServer(look)
        with pytest.raises(RejectedError) as refused:
            other.open("127.0.0.1", port)
        assert refused.value.code == "metrics.port"
    finally:
        await asyncio.to_thread(server.close)
