"""Starts the receiver, looks whether it can be reached, runs the pipeline, and says what has come."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATIENCE_S = 240.0


def main() -> int:
    """0 once the sightings have come."""
    environment = {**os.environ, "THALWEG_SECRET_CAMERA_HOOK": f"whsec_{base64.b64encode(os.urandom(32)).decode()}"}
    command = [sys.executable, str(HERE / "receiver.py"), "--port", "0"]
    with tempfile.TemporaryDirectory(prefix="thalweg-camera-") as folder:
        environment["THALWEG_DATA"] = str(Path(folder) / "data")
        receiver = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            assert receiver.stdout is not None
            url = receiver.stdout.readline().rpartition(" ")[2].strip()
            for words in (["validate", "--connect"], ["run", "--out", folder]):
                given = [sys.executable, "-m", "thalweg_cli", *words, str(HERE / "pipeline.yaml"), "--set", f"hook.url={url}"]
                subprocess.run(given, env=environment, check=True, timeout=PATIENCE_S)
        finally:
            receiver.terminate()
            said, _ = receiver.communicate(timeout=PATIENCE_S)
    counts = [json.loads(line.partition("  ")[2]) for line in said.splitlines()]
    left, right = (sum(one[side] for one in counts) for side in ("left", "right"))
    print(f"  received: {len(counts)} signed sightings, {left} left, {right} right")
    return 0 if counts else 1


if __name__ == "__main__":
    sys.exit(main())
