"""A vertex in partitions gives what it gives whole, also when one of them is killed, and runs again as it ran."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from thalweg.graph.pipeline import Pipeline
from thalweg.testing import run_graph

PARTS = Path(__file__).parent / "parts.py"
DEADLINE_S = 90.0


def pipeline(count: int, partitions: int) -> dict[str, Any]:
    """Readings, doubled by any partition, counted by station: equal stations come to the same partition."""
    fields = {"station": {"kind": "choice", "of": list("ABCDEFG")}, "temp": {"kind": "int", "low": 0, "high": 99}}
    share = {"partitions": partitions} if partitions > 1 else {}
    source: dict[str, Any] = {"seed": 7, "count": count, "fields": fields}
    summed = {
        "key": ["station"],
        "window": {"kind": "none"},
        "aggregates": {"count": {"op": "count"}, "total": {"op": "sum", "field": "temp"}},
    }
    vertices: dict[str, Any] = {
        "readings": {"component": "random-source@1.0.0", "params": source},
        "doubled": {"component": "map@1.0.0", "params": {"fields": {"temp": "temp * 2", "station": "station"}}, **share},
        "counted": {"component": "aggregate@1.0.0", "params": summed, **(share | {"key": "station"} if share else {})},
        "save": {"component": "jsonl-file@1.0.0"},
        "all": {"component": "jsonl-file@1.0.0"},
    }
    edges = ["readings.out -> doubled.in", "doubled.out -> counted.in", "counted.out -> save.in", "doubled.out -> all.in"]
    return {"backend": "parted", "vertices": vertices, "edges": edges}


def test_in_memory_partitions_give_what_the_whole_gives() -> None:
    whole = run_graph(Pipeline.model_validate(pipeline(500, 1)))
    parted = run_graph(Pipeline.model_validate(pipeline(500, 3)))
    assert all(parted[f"doubled~{number}"].counters.records_in > 100 for number in (1, 2, 3))
    for vertex in ("all", "save"):
        (before,), (after,) = (one[vertex].generated.values() for one in (whole, parted))
        lines = [sorted(path.read_text().splitlines()) for path in (before, after)]
        assert lines[0] == lines[1] and lines[0]
    (before,), (after,) = (one["all"].generated.values() for one in (whole, parted))
    assert before.read_text() == after.read_text(), "merged by time, their order is restored"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of commands with servers of their own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("THALWEG_")}
    return {**kept, "THALWEG_DATA": str(tmp_path / "data")}


def _run(folder: Path, environment: dict[str, str], content: dict[str, Any]) -> subprocess.Popen[str]:
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump(content))
    words = [sys.executable, "-m", "thalweg_cli", "run", str(path), "--out", str(folder / "out"), "--json"]
    return subprocess.Popen(words, env=environment, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _process_of(data: str, vertex: str) -> psutil.Process | None:
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if "thalweg_vertex" in words and words[-1] == vertex and process.environ().get("THALWEG_DATA") == data:
                return process
        except psutil.Error:
            continue
    return None


def test_a_killed_partition_goes_on_and_the_run_can_be_run_again(tmp_path: Path, environment: dict[str, str]) -> None:
    content = pipeline(20_000, 2)
    run = _run(tmp_path, environment, content)
    deadline = time.monotonic() + DEADLINE_S
    while (process := _process_of(environment["THALWEG_DATA"], "counted~2")) is None:
        assert time.monotonic() < deadline and run.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    said, errors = run.communicate(timeout=DEADLINE_S)
    assert run.returncode == 0, errors
    found = json.loads(said)
    assert {"doubled~1", "doubled~2", "counted~1", "counted~2"} <= set(found["vertices"])
    whole = run_graph(Pipeline.model_validate(pipeline(20_000, 1)))
    for vertex in ("all", "save"):
        (wanted,) = whole[vertex].generated.values()
        saved = (tmp_path / "out" / f"{vertex}-records.jsonl").read_text().splitlines()
        assert sorted(saved) == sorted(wanted.read_text().splitlines())
    words = [sys.executable, "-m", "thalweg_cli", "evidence", "rerun", found["evidence"]]
    again = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
