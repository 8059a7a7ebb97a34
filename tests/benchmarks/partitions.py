"""One vertex between source and sink in 1, 2 and 4 partitions, in turn: with work that takes a core, and with hardly any."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.stage import Stage, compared, figure

COUNTS = (1, 2, 4)
WORK = {"heavy": ("bench-heavy@1.0.0", 10_000), "trivial": ("bench-fahrenheit@1.0.0", 300_000)}  # component, records
GOALS = {("heavy", 2): "above 1, where a core is free"}


def measure(stage: Stage) -> Iterator[dict[str, object]]:
    """Records a second whole, and the ratios of runs next to each other."""
    for kind, (component, records) in WORK.items():
        rates: dict[int, list[float]] = {count: [] for count in COUNTS}
        for _ in range(stage.rounds):
            for count in COUNTS:
                rates[count].append(_rate(stage, component, records, count))
        yield figure(f"{kind} work, one vertex", statistics.median(rates[1]), "records/s")
        for count in COUNTS[1:]:
            yield compared(f"{kind} work, {count} partitions against one vertex", rates[count], rates[1], GOALS.get((kind, count), ""))


def _rate(stage: Stage, component: str, records: int, count: int) -> float:
    share: dict[str, Any] = {"partitions": count, "key": "name"} if count > 1 else {}
    pipeline: dict[str, Any] = {
        "backend": "bench-partitions",
        "vertices": {
            "source": {"component": "bench-readings@1.0.0", "params": {"count": records}},
            "map": {"component": component, **share},
            "sink": {"component": "bench-count@1.0.0"},
        },
        "edges": ["source.out -> map.in", "map.out -> sink.in"],
    }
    found = stage.measured(pipeline)
    assert found["count"] == records
    return float(found["count"] / found["seconds"])
