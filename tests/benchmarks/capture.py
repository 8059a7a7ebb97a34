"""Small records through source, map and sink, with the log captured and without; in turn."""

from __future__ import annotations

import statistics

from benchmarks import records
from benchmarks.stage import Stage, compared, figure


def measure(stage: Stage) -> list[dict[str, object]]:
    """Records a second, and the ratios of runs next to each other."""
    bare, boundary, whole = list[float](), list[float](), list[float]()
    for _ in range(stage.rounds):
        bare.append(records.rate(stage))
        boundary.append(records.rate(stage, "boundary"))
        whole.append(records.rate(stage, "all"))
    return [
        figure("thalweg, three vertices, all captured", statistics.median(whole), "records/s"),
        compared("all captured against nothing", whole, bare, "at least 0.9"),
        compared("the boundary captured against nothing", boundary, bare, "at least 0.9"),
    ]
