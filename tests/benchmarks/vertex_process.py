"""What a vertex process costs: time from its start to its claim on the log, and memory at work, without OpenCV or av."""

from __future__ import annotations

import statistics
import time
from contextlib import suppress
from typing import Any

import psutil

from benchmarks.stage import Stage, figure


def measure(stage: Stage) -> list[dict[str, object]]:
    """Seconds until a vertex has claimed; resident MB while it works."""
    ready, resident = list[float](), list[float]()
    for _ in range(stage.rounds):
        one_ready, one_resident = _round(stage)
        ready += one_ready
        resident += one_resident
    return [
        figure("a vertex is ready after, median", statistics.median(ready), "s", "at most 0.6", digits=2),
        figure("a vertex is ready after, slowest", max(ready), "s", digits=2),
        figure("resident memory of a vertex, largest", max(resident) / 1e6, "MB", "under 70"),
    ]


def _round(stage: Stage) -> tuple[list[float], list[float]]:
    """Vertices write the time of their setup to a file; it is compared with the start of their process."""
    times = stage.folder / "ready"
    times.mkdir(exist_ok=True)
    for old in times.iterdir():
        old.unlink()
    pipeline: dict[str, Any] = {
        "backend": "bench-process",
        "vertices": {
            "source": {"component": "bench-clock@1.0.0", "params": {"count": 150, "per_s": 100}},
            "map": {"component": "bench-ready@1.0.0", "params": {"path": str(times / "map")}},
            "sink": {"component": "bench-arrivals@1.0.0", "params": {"path": str(stage.folder / "ignored.json")}},
        },
        "edges": ["source.out -> map.in", "map.out -> sink.in"],
    }
    run = stage.start(pipeline)
    ready, resident = list[float](), dict[int, float]()
    while run.poll() is None:
        for vertex, process in stage.vertices():
            with suppress(psutil.Error):
                resident[process.pid] = max(resident.get(process.pid, 0), process.memory_info().rss)
                if vertex == "map" and not ready and (times / "map").exists() and (text := (times / "map").read_text()):
                    ready.append(float(text) - process.create_time())
        time.sleep(0.1)
    assert run.returncode == 0, run.communicate()[1][-2000:]
    return ready, list(resident.values())
