"""An example that hears speech, run for real: each vertex a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from thalweg.testing import run_graph

PIPELINE = Path(__file__).resolve().parents[2] / "examples/audio/pipeline.yaml"


def test_speech_is_found_by_processes_as_it_is_in_memory(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("THALWEG_")}
    environment["THALWEG_DATA"] = str(tmp_path / "data")
    command = [sys.executable, "-m", "thalweg_cli", "run", str(PIPELINE), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, env=environment, cwd=tmp_path, text=True, capture_output=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    in_memory = run_graph(PIPELINE, workdir=tmp_path / "memory")["table"].generated["file"]
    assert (tmp_path / "out/speech.csv").read_bytes() == in_memory.read_bytes()
    assert len(in_memory.read_text().splitlines()) == 4, "a head and three segments"
