"""`thalweg run` as a process: interrupted, killed, beside another one, with nowhere to save to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

PARTS = Path(__file__).parent / "parts.py"
WEATHER = Path(__file__).resolve().parents[2] / "examples/weather/pipeline.yaml"
PIPELINE = """
backend: test
vertices:
  numbers: {{component: count@1.0.0, params: {{count: {count}, pause_s: 0.001}}}}
  lines: {{component: jsonl-file@1.0.0}}
edges: [numbers.out -> lines.in]
"""
DEADLINE_S = 90.0


def _start(folder: Path, count: int, *options: str) -> subprocess.Popen[str]:
    pipeline = folder / f"{count}.yaml"
    pipeline.write_text(PIPELINE.format(count=count))
    command = [sys.executable, "-m", "thalweg_cli", "run", str(pipeline), "--components", str(PARTS), *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("THALWEG_")}
    environment["THALWEG_DATA"] = str(folder / "data")
    return subprocess.Popen(command, env=environment, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _processes(folder: Path) -> list[psutil.Process]:
    """All that belong to the data folder but for `thalweg run` itself."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            is_ours = str(folder / "data") in process.environ().get("THALWEG_DATA", "") or any(
                str(folder / "data") in word for word in words
            )
            if is_ours and "thalweg_cli" not in words and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.05)


def _vertices(folder: Path) -> list[psutil.Process]:
    return [one for one in _processes(folder) if "thalweg_vertex" in one.cmdline()]


def _finish(run: subprocess.Popen[str]) -> str:
    errors = run.communicate(timeout=DEADLINE_S)[1]
    assert run.returncode == 0, errors
    return errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("options", [(), ("--keep",)])
def test_an_interrupted_run_ends_all_that_it_started(number: signal.Signals, options: tuple[str, ...], tmp_path: Path) -> None:
    run = _start(tmp_path, 1_000_000, *options)
    _until(lambda: len(_vertices(tmp_path)) == 2)
    run.send_signal(number)
    errors = run.communicate(timeout=DEADLINE_S)[1]
    assert run.returncode == 128 + number, errors
    assert _processes(tmp_path) == []
    assert not list((tmp_path / "data" / "runs").iterdir())


def test_the_next_run_ends_what_a_killed_one_left(tmp_path: Path) -> None:
    killed = _start(tmp_path, 1_000_000)
    _until(lambda: len(_vertices(tmp_path)) == 2)
    left = _vertices(tmp_path)
    killed.kill()
    killed.communicate()
    (note,) = (tmp_path / "data" / "runs").iterdir()
    _finish(_start(tmp_path, 100))
    assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in left)
    assert not note.exists()
    assert _processes(tmp_path) == []


def test_two_runs_in_one_folder_do_not_disturb_each_other(tmp_path: Path) -> None:
    first = _start(tmp_path, 3_000, "--out", "first")
    _until(lambda: len(_vertices(tmp_path)) > 0)
    second = _start(tmp_path, 2_000, "--out", "second")
    _finish(first)
    _finish(second)
    for out, count in (("first", 3_000), ("second", 2_000)):
        (lines,) = (path for path in (tmp_path / out).iterdir())
        assert len(lines.read_text().splitlines()) == count
    assert _processes(tmp_path) == []


def test_a_run_that_could_not_save_is_not_begun(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    run = _start(tmp_path, 10, "--out", "taken")
    errors = run.communicate(timeout=DEADLINE_S)[1]
    assert run.returncode == 3
    assert errors.startswith("error: taken: generated files cannot be saved there")
    assert not (tmp_path / "data").exists()


def test_a_run_leaves_evidence_that_is_verified_and_run_again(tmp_path: Path) -> None:
    """On an example with params whose order counts."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("THALWEG_")}
    environment["THALWEG_DATA"] = str(tmp_path / "data")

    def thalweg(*words: str) -> str:
        command = [sys.executable, "-m", "thalweg_cli", *words]
        done = subprocess.run(command, env=environment, cwd=tmp_path, text=True, capture_output=True, timeout=DEADLINE_S, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    thalweg("run", str(WEATHER))
    (evidence,) = (tmp_path / "data" / "evidence").iterdir()
    logs = json.loads(evidence.read_text())["logs"]
    assert logs["complete"] and logs["records"] >= 1
    kept = (tmp_path / "data/s3/thalweg/default/artifacts" / logs["artifact"].removeprefix("sha256:")).read_text().splitlines()
    assert len(kept) == logs["records"] and all(json.loads(line)["deployment"] == evidence.stem for line in kept)
    assert thalweg("evidence", "verify", evidence.stem).endswith("verified\n")
    assert thalweg("evidence", "rerun", str(evidence)).endswith("reproduced\n")
    assert _processes(tmp_path) == []
