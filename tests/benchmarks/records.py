"""Small typed records through source, map and sink: ours, bare nats-py with msgpack, FastStream; in turn."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.stage import Stage, compared, figure

RECORDS, FASTSTREAM_RECORDS = 600_000, 6_000


def measure(stage: Stage) -> list[dict[str, object]]:
    """Records a second, and the ratios of runs next to each other."""
    ours, bare, faststream = list[float](), list[float](), list[float]()
    for _ in range(stage.rounds):
        bare.append(_rate(stage.bare("raw_chain.py", "--records", RECORDS)))
        ours.append(rate(stage))
        faststream.append(_rate(stage.bare("faststream_chain.py", "--records", FASTSTREAM_RECORDS)))
    return [
        figure("thalweg, three vertices", statistics.median(ours), "records/s"),
        figure("bare nats-py, msgpack, 1,000 records a message", statistics.median(bare), "records/s"),
        figure("FastStream, pydantic, JetStream", statistics.median(faststream), "records/s"),
        compared("thalweg against bare", ours, bare, "at least 1.2"),
        compared("thalweg against FastStream", ours, faststream, "at least 100"),
    ]


def rate(stage: Stage, capture: str = "none", count: int = RECORDS) -> float:
    """Records a second through source, map and sink of ours."""
    pipeline: dict[str, Any] = {
        "backend": "bench-records",
        "vertices": {
            "source": {"component": "bench-readings@1.0.0", "params": {"count": count}},
            "map": {"component": "bench-fahrenheit@1.0.0"},
            "sink": {"component": "bench-count@1.0.0"},
        },
        "edges": ["source.out -> map.in", "map.out -> sink.in"],
    }
    found = stage.measured(pipeline, capture)
    assert found["count"] == count
    return float(found["count"] / found["seconds"])


def _rate(printed: str) -> float:
    return float(printed.split()[0])
