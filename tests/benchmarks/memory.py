"""Tables stream: the memory that the vertices of one pipeline need over a small CSV file and over a large one."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.stage import Stage, figure

SMALL_MB = 2


def measure(stage: Stage) -> list[dict[str, object]]:
    """Largest resident MB of each vertex, small table against large."""
    found = [_peaks(stage, megabytes) for megabytes in (SMALL_MB, stage.csv_mb)]
    rows = [
        figure(f"{vertex}: {SMALL_MB} MB table {found[0][vertex] / 1e6:.0f} MB, {stage.csv_mb} MB table", peak / 1e6, "MB")
        for vertex, peak in found[1].items()
    ]
    most = max(found[1][vertex] - found[0][vertex] for vertex in found[1])
    return [*rows, figure("the large table needs more, at most", most / 1e6, "MB", "the same memory")]


def _peaks(stage: Stage, megabytes: int) -> dict[str, float]:
    table = stage.folder / f"table-{megabytes}.csv"
    write_table(table, megabytes << 20)
    pipeline: dict[str, Any] = {
        "backend": "bench-memory",
        "vertices": {
            "rows": {"component": "csv-source@1.0.0", "files": {"table": str(table)}, "params": {"time": "at"}},
            "some": {"component": "filter@1.0.0", "params": {"where": "value > 10.0"}},
            "save": {"component": "parquet-file@1.0.0"},
        },
        "edges": ["rows.out -> some.in", "some.out -> save.in"],
    }
    run, peaks = stage.start(pipeline), dict[str, float]()
    while run.poll() is None:
        for vertex, process in stage.vertices():
            with suppress(psutil.Error):
                peaks[vertex] = max(peaks.get(vertex, 0), process.memory_info().rss)
        time.sleep(0.1)
    assert run.returncode == 0, run.communicate()[1][-2000:]
    table.unlink()
    return peaks


def write_table(path: Path, size_bytes: int) -> None:
    """A CSV file of about that size."""
    block, start = 10_000, 0
    with path.open("w") as file:
        file.write("at,sensor,value,note\n")
        while file.tell() < size_bytes:
            lines = (
                f"{2000 + n // 31_000_000 % 100}-01-{1 + n % 28:02}T{n % 24:02}:00:00Z,sensor-{n % 50},{n % 97 / 2},a note of some words\n"
                for n in range(start, start + block)
            )
            file.write("".join(lines))
            start += block
