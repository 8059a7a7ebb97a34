"""What a vertex process costs: time from its start to its claim on the log, and memory at work, without OpenCV or av."""

from __future__ import annotations

import os
import statistics
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.stage import Stage, figure


def measure(stage: Stage) -> list[dict[str, object]]:
    """Seconds until a vertex has claimed, started alone and with its whole graph; resident MB while it works."""
    together, alone, resident = list[float](), list[float](), list[float]()
    for _ in range(stage.rounds):
        first, again, most = _round(stage)
        together.append(first)
        alone.append(again)
        resident.append(most)
    return [
        figure("a vertex started alone is ready after, median", statistics.median(alone), "s", "at most 0.6", digits=2),
        figure("a vertex started with two others and a coordinator", statistics.median(together), "s", digits=2),
        figure("resident memory of a vertex, largest", max(resident) / 1e6, "MB", "under 70"),
    ]


def _round(stage: Stage) -> tuple[float, float, float]:
    """The vertex `map` writes when it is ready; it is killed once, so that it starts again while all else runs."""
    path = stage.folder / "ready"
    path.unlink(missing_ok=True)
    pipeline: dict[str, Any] = {
        "backend": "bench-process",
        "vertices": {
            "source": {"component": "bench-clock@1.0.0", "params": {"count": 300, "per_s": 100}},
            "map": {"component": "bench-ready@1.0.0", "params": {"path": str(path)}},
            "sink": {"component": "bench-arrivals@1.0.0", "params": {"path": str(stage.folder / "ignored.json")}},
        },
        "edges": ["source.out -> map.in", "map.out -> sink.in"],
    }
    run = stage.start(pipeline)
    ready, resident = dict[int, float](), 0.0
    while run.poll() is None:
        for vertex, process in stage.vertices():
            with suppress(psutil.Error):
                resident = max(resident, process.memory_info().rss)
                if vertex == "map" and process.pid not in ready and path.exists() and (text := path.read_text()):
                    ready[process.pid] = float(text) - _started_s(process.pid)
                    path.unlink()
                    if len(ready) == 1:
                        process.kill()
        time.sleep(0.1)
    assert run.returncode == 0, run.communicate()[1][-2000:]
    first, again = ready.values()
    return first, again, resident


def _started_s(pid: int) -> float:
    """When a process started, in seconds since the machine did; psutil's `create_time` may be off by a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")
