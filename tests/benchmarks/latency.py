"""How long a record takes from one vertex to the next at 100 records a second, against a bare publish and receive."""

from __future__ import annotations

import json
import statistics
from itertools import chain
from typing import Any

from benchmarks.stage import Stage, compared, figure

COUNT, PER_S = 400, 100


def measure(stage: Stage) -> list[dict[str, object]]:
    """Medians over both hops of all rounds, ms; 99th percentiles; the ratio of medians of runs next to each other."""
    ours, bare = list[list[float]](), list[list[float]]()
    for _ in range(stage.rounds):
        bare.append(json.loads(stage.bare("bare_hop.py", "--count", COUNT, "--per-s", PER_S)))
        ours.append(hops(stage))
    all_ours, all_bare = list(chain(*ours)), list(chain(*bare))
    return [
        figure("thalweg, a hop, median", median(all_ours), "ms", digits=3),
        figure("bare, a hop, median", median(all_bare), "ms", digits=3),
        figure("thalweg, a hop, 99th percentile", _p99(all_ours), "ms", digits=3),
        figure("bare, a hop, 99th percentile", _p99(all_bare), "ms", digits=3),
        compared("thalweg against bare, median", [median(one) for one in ours], [median(one) for one in bare], "at most 1.5"),
    ]


def hops(stage: Stage) -> list[float]:
    """Times of all hops of a run of ours, ns."""
    pipeline: dict[str, Any] = {
        "backend": "bench-latency",
        "vertices": {
            "source": {"component": "bench-clock@1.0.0", "params": {"count": COUNT, "per_s": PER_S}},
            "map": {"component": "bench-relay@1.0.0"},
            "sink": {"component": "bench-arrivals@1.0.0"},
        },
        "edges": ["source.out -> map.in", "map.out -> sink.in"],
    }
    found: list[float] = stage.measured(pipeline)
    return found


def median(ns: list[float]) -> float:
    """In ms."""
    return statistics.median(ns) / 1e6


def _p99(ns: list[float]) -> float:
    return statistics.quantiles(ns, n=100)[-1] / 1e6
