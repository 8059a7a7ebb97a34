"""`make bench`: runs every benchmark in turn on embedded servers, prints a table, writes JSON."""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks import capture, gateway, latency, memory, partitions, records, replays, replicas, scaling, startup, vertex_process, video
from benchmarks.stage import Stage
from thalweg.embedded import EmbeddedStack

BENCHMARKS: dict[str, Callable[[Stage], Iterable[dict[str, object]]]] = {
    "records": records.measure,
    "latency": latency.measure,
    "capture": capture.measure,
    "replays": replays.measure,
    "replicas": replicas.measure,
    "video": video.measure,
    "gateway": gateway.measure,
    "process": vertex_process.measure,
    "startup": startup.measure,
    "memory": memory.measure,
    "partitions": partitions.measure,
    "scaling": scaling.measure,
}


def main() -> None:
    """Prints one line for each figure: what, value, goal."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("only", nargs="*", choices=[[], *BENCHMARKS], help="which ones; all without")
    parser.add_argument("--rounds", type=int, default=5, help="how often each chain runs, in turn with those it is compared with")
    parser.add_argument("--csv-mb", type=int, default=200, help="size of the larger table of the memory benchmark")
    parser.add_argument("--out", type=Path, default=Path("out/bench.json"))
    given = parser.parse_args()
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="thalweg-bench-") as folder, EmbeddedStack(Path(folder) / "stack") as stack:
        stage = Stage(stack, Path(folder), given.rounds, given.csv_mb)
        for name in given.only or BENCHMARKS:
            for row in BENCHMARKS[name](stage):
                print(f"{name:<10} {row['what']:<58} {row['value']!s:>14} {row.get('unit', ''):<10} {row.get('goal', '')}", flush=True)
                rows.append({"benchmark": name, **row})
    given.out.parent.mkdir(parents=True, exist_ok=True)
    machine = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    given.out.write_text(json.dumps({"rounds": given.rounds, **machine, "figures": rows}, indent=1))
    print(f"written to {given.out}")


if __name__ == "__main__":
    main()
