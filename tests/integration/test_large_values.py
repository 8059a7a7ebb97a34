"""Values larger than a message of NATS, and than JetStream takes, through a whole pipeline of services."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

PARTS = Path(__file__).parent / "parts.py"
SIZES = [1, 3 << 20, 9 << 20, 33 << 20, 7, 64 << 20]


def test_values_of_any_size_go_through_a_pipeline_whole_and_in_order(tmp_path: Path) -> None:
    pipeline = tmp_path / "pipeline.yaml"
    vertices = {
        "blobs": {"component": "blobs@1.0.0", "params": {"bytes": SIZES}},
        "same": {"component": "same@1.0.0"},
        "weights": {"component": "weigh@1.0.0"},
        "save": {"component": "jsonl-file@1.0.0", "generated": {"file": "weights.jsonl"}},
    }
    edges = ["blobs.out -> same.in", "same.out -> weights.in", "weights.out -> save.in"]
    pipeline.write_text(json.dumps({"backend": "large", "vertices": vertices, "edges": edges}))
    command = [sys.executable, "-m", "thalweg_cli", "run", str(pipeline), "--components", str(PARTS), "--out", str(tmp_path / "out")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("THALWEG_")}
    environment["THALWEG_DATA"] = str(tmp_path / "data")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in (tmp_path / "out/weights.jsonl").read_text().splitlines()]
    assert [one["size"] for one in found] == SIZES
    assert [one["digest"] for one in found] == [hashlib.sha256(bytes([n + 1]) * size).hexdigest() for n, size in enumerate(SIZES)]
