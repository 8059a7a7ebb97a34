"""What three copies of every message cost: the same pipelines on three nats-servers and on one, in turn, all on this machine."""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass

from benchmarks import latency, records
from benchmarks.stage import Stage, compared, figure
from faults.nats_cluster import cluster, loopback_places


@dataclass(frozen=True)
class _OnCluster(Stage):
    url: str

    @property
    def environment(self) -> dict[str, str]:
        """Of every child process."""
        return {**super().environment, "THALWEG_NATS_URL": self.url, "THALWEG_REPLICAS": "3"}


def measure(stage: Stage) -> list[dict[str, object]]:
    """Records a second, ms a hop, and the ratios of runs next to each other."""
    rates: dict[int, list[float]] = {1: [], 3: []}
    hops: dict[int, list[list[float]]] = {1: [], 3: []}
    with cluster(loopback_places(), stage.folder / "nodes") as found:
        asyncio.run(found.until_healthy())
        places = {1: stage, 3: _OnCluster(stage.stack, stage.folder, stage.rounds, stage.csv_mb, found.url)}
        for _ in range(stage.rounds):
            for replicas, place in places.items():
                rates[replicas].append(records.rate(place))
                hops[replicas].append(latency.hops(place))
    medians = {replicas: [latency.median(one) for one in runs] for replicas, runs in hops.items()}
    return [
        *(figure(f"three vertices, replicas {replicas}", statistics.median(found), "records/s") for replicas, found in rates.items()),
        *(figure(f"a hop, replicas {replicas}, median", statistics.median(found), "ms", digits=3) for replicas, found in medians.items()),
        compared("records a second, replicas 3 against 1", rates[3], rates[1], ""),
        compared("a hop, replicas 3 against 1", medians[3], medians[1], ""),
    ]
