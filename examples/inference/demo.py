"""Starts Thalweg, deploys the pipeline, posts pictures into it and prints the model's answers; ends what it has started."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATIENCE_S = 60.0
COMMAND = [sys.executable, "-m", "thalweg_cli"]


def main() -> int:
    """0 once every picture is answered."""
    with tempfile.TemporaryDirectory(prefix="thalweg-inference-") as data, server(Path(data)) as environment:
        run(environment, "apply", str(HERE / "pipeline.yaml"))
        run(environment, "deploy", "inference")
        token = run(environment, "endpoint", "rotate", "inference", "uploads").strip()
        url = f"{environment['THALWEG_HTTP_URL']}/a/inference/uploads?wait=30s"
        for picture in sorted((HERE / "data").glob("*.jpg")):
            print(f"  {picture.name}: {json.dumps(ask(url, token, picture.read_bytes()))}", flush=True)
        run(environment, "undeploy", "inference", "--discard")
    return 0


@contextmanager
def server(data: Path) -> Iterator[dict[str, str]]:
    """`thalweg up` in a folder of its own; the variables that lead commands to it."""
    environment = {**os.environ, "THALWEG_COMPONENTS": str(HERE / "recognize.py"), "THALWEG_DATA": str(data)}
    up = subprocess.Popen([*COMMAND, "up", "--data", str(data), "--http-port", "0"], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert up.stdout is not None
        for line in up.stdout:
            name, is_one, value = line.strip().removeprefix("export ").partition("=")
            if is_one and name.startswith("THALWEG_"):
                environment[name] = value.strip("'\"")
            if "THALWEG_HTTP_URL" in environment and "THALWEG_NATS_URL" in environment:
                break
        yield environment
    finally:
        up.send_signal(signal.SIGINT)
        up.communicate(timeout=PATIENCE_S)


def run(environment: dict[str, str], *words: str) -> str:
    """A command's output."""
    return subprocess.run([*COMMAND, *words], env=environment, check=True, timeout=PATIENCE_S, stdout=subprocess.PIPE, text=True).stdout


def ask(url: str, token: str, picture: bytes) -> object:
    """What the graph makes of a picture; asked again while it is starting."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "image/jpeg", "Idempotency-Key": hashlib.sha256(picture).hexdigest()}
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, picture, headers), timeout=PATIENCE_S) as found:
                return json.loads(found.read())
        except urllib.error.HTTPError as error:
            if error.code not in (503, 504) or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
