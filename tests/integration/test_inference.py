"""The example that serves a model: pictures are posted in, its answers come out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parents[2] / "examples" / "inference" / "demo.py"


def test_the_model_says_what_was_posted() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("THALWEG_")}
    found = subprocess.run([sys.executable, str(DEMO)], env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert found.returncode == 0, found.stderr
    answers = {name.strip(): json.loads(text) for name, _, text in (line.partition(": ") for line in found.stdout.splitlines())}
    assert answers["bunny.jpg"]["label"] == "jpeg" and answers["bunny.jpg"]["score"] > 0.9
    assert answers["not-a-picture.jpg"]["group"] == "code", "whatever it is named"
