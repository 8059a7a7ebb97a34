"""Kills services of a running pipeline at random moments, many times; the outputs must be those of a run without any kill."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from faults.outcomes import Outcome, outcome, undisturbed, words_of_run

DEADLINE_S = 240.0


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return undisturbed(tmp_path_factory.mktemp("memory"))


@pytest.mark.parametrize(
    ("target", "seed", "kills"), [("vertex", 1, 25), ("coordinator", 2, 6), ("nats-server", 3, 6), ("capture", 5, 10), ("any", 4, 25)]
)
def test_kills_change_nothing(target: str, seed: int, kills: int, expected: Outcome, tmp_path: Path) -> None:
    """Same records, same order, none twice."""
    run = _start(tmp_path)
    counts = Counter[str]()
    _wait_for_a_vertex(run)
    for pause_s in _pauses(random.Random(seed), kills):
        time.sleep(pause_s)
        if run.poll() is not None:
            break
        if victim := _choose(run.pid, target, random.Random(seed * 1000 + sum(counts.values()))):
            counts[_kind(victim)] += 1
            victim.kill()
    output, errors = run.communicate(timeout=DEADLINE_S)
    print(f"\nkilled while running ({target}): {dict(counts)}")
    assert run.returncode == 0, errors[-2000:]
    summary = json.loads(output)
    assert outcome(summary, tmp_path / "out") == expected
    assert summary["replay"]["complete"], summary["replay"]
    assert sum(counts.values()) >= kills // 3, "the run ended before it was disturbed"


def _start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "thalweg_cli", *words_of_run(folder / "out")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("THALWEG_")}
    return subprocess.Popen(
        command,
        env=environment | {"THALWEG_DATA": str(folder / "data")},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
    )


def _wait_for_a_vertex(run: subprocess.Popen[str]) -> None:
    """How long servers take to start has nothing to do with what is killed."""
    end = time.monotonic() + DEADLINE_S
    while run.poll() is None and _choose(run.pid, "vertex", random.Random(0)) is None:
        assert time.monotonic() < end
        time.sleep(0.05)


def _pauses(rng: random.Random, kills: int) -> Iterator[float]:
    for _ in range(kills):
        yield rng.uniform(0.05, 0.6)


def _choose(root: int, target: str, rng: random.Random) -> psutil.Process | None:
    """A process of the run's own tree; vertices are found by the run's data folder, since they outlive who started them."""
    try:
        data = psutil.Process(root).environ()["THALWEG_DATA"]
    except psutil.Error:
        return None
    found = [one for one in psutil.process_iter() if (kind := _kind(one, data)) and target in (kind, "any")]
    return rng.choice(sorted(found, key=lambda one: one.pid)) if found else None


def _kind(process: psutil.Process, data: str | None = None) -> str:
    try:
        words = process.cmdline()
        if data is not None and process.environ().get("THALWEG_DATA") != data and not any(data in word for word in words):
            return ""
    except psutil.Error:
        return ""
    text = " ".join(words[:6])
    if "thalweg_coordinator.fork_server" in text:
        return "fork server"
    if "thalweg_vertex" in text:
        return "vertex"
    if "thalweg_coordinator.capture" in text:
        return "capture"
    if "thalweg_coordinator" in text and "--only" in text:
        return "coordinator"
    return "nats-server" if words and words[0].endswith("nats-server") else ""
