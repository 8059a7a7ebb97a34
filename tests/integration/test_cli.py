"""The command against real servers: those that do not answer, those of `thalweg up`, those with other keys."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from thalweg.embedded import EmbeddedStack

PIPELINE = Path(__file__).resolve().parents[2] / "examples/weather/pipeline.yaml"
NOWHERE = "nats://127.0.0.1:1"


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("THALWEG_")}
    return {**kept, **variables}


def thalweg(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "thalweg_cli", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(**variables), capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def up(folder: Path) -> Iterator[dict[str, str]]:
    """A running `thalweg up`; gives the variables that it prints."""
    command = [sys.executable, "-m", "thalweg_cli", "up", "--data", "data"]
    process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        lines: list[str] = []
        while not lines or not lines[-1].startswith("Ctrl-C"):
            lines.append(process.stdout.readline())
            assert lines[-1], "it ended"
        exports = [line.strip() for line in lines if line.startswith("  ")]
        exports += Path(exports.pop().removeprefix(". ").strip("'")).read_text().splitlines()
        yield dict(line.removeprefix("export ").split("=", 1) for line in exports)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"THALWEG_NATS_URL": NOWHERE}, 6),
        ({"THALWEG_NATS_URL": "nats://no.such.host.invalid:4222"}, 6),
        ({"THALWEG_NATS_URL": "::::"}, 2),
        ({"THALWEG_S3_ENDPOINT": "garbage"}, 2),
        ({"THALWEG_DATA": "file"}, 2),
    ],
)
def test_servers_and_folders_that_cannot_be_used_are_one_line(tmp_path: Path, variables: dict[str, str], code: int) -> None:
    (tmp_path / "file").touch()
    result = thalweg(tmp_path, "run", str(PIPELINE), **variables)
    assert result.returncode == code, result.stderr
    first, *others = result.stderr.splitlines()
    assert first.startswith("error: ")
    assert [line[:8] for line in others] == ["  hint: "]


def test_wrong_keys_of_the_file_store_are_a_wrong_setting(stack: EmbeddedStack, tmp_path: Path) -> None:
    result = thalweg(tmp_path, "run", str(PIPELINE), **{**stack.environment(), "THALWEG_S3_SECRET_KEY": "wrong"})
    assert result.returncode == 2
    assert "denied" in result.stderr


def test_a_coordinator_that_is_connecting_heeds_sigterm(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-m", "thalweg_coordinator"], env=environment(THALWEG_NATS_URL=NOWHERE))
    deadline = time.monotonic() + 20
    while not _catches_sigterm(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    began = time.monotonic()
    process.terminate()
    assert process.wait(30) == 0
    assert time.monotonic() - began < 4


def _catches_sigterm(pid: int) -> bool:
    caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_a_run_uses_the_servers_and_the_coordinator_of_up(tmp_path: Path) -> None:
    with up(tmp_path) as variables:
        result = thalweg(tmp_path, "run", str(PIPELINE), "--json", **variables)
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["unmet"] == []
        assert not list(tmp_path.glob(".thalweg/logs/coordinator*"))
        in_use = thalweg(tmp_path, "up", "--data", "data")
        assert in_use.returncode == 3
        assert "THALWEG_DATA=" in in_use.stderr


def test_up_started_again_has_its_ports_and_its_deployments(tmp_path: Path) -> None:
    with up(tmp_path) as first:
        kept = json.loads(thalweg(tmp_path, "run", str(PIPELINE), "--json", "--keep", **first).stdout)["deployment"]
    with up(tmp_path) as second:
        assert second == first
        assert (tmp_path / "data/logs" / kept).is_dir()
        assert thalweg(tmp_path, "run", str(PIPELINE), **second).returncode == 0


def test_json_of_a_run_with_an_unmet_expectation_leaves_with_5(stack: EmbeddedStack, tmp_path: Path) -> None:
    result = thalweg(tmp_path, "run", str(PIPELINE), "--set", "wet.where=precipitation < 0", "--json", **stack.environment())
    assert result.returncode == 5
    assert json.loads(result.stdout)["unmet"] == ["expected exactly 46 records on monthly.out, got 0"]
