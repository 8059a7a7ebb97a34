"""A forked process is what it would be, had it been started by itself; whoever dies takes nobody along."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from thalweg.errors import UnreachableError
from thalweg_coordinator.forking import CAN_FORK, Forked, Forks

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="processes are forked on Linux")
DEADLINE_S = 20.0
SERVICE = """
import json, os, signal, sys
IMPORTED_BY = os.getpid()

def main():
    variables = {name: os.environ.get(name) for name in ("KEPT", "CHANGED", "REMOVED", "ADDED")}
    said = {"words": sys.argv[1:], "variables": variables, "given": sys.stdin.read(), "leads_session": os.getsid(0) == os.getpid()}
    said |= {"imported_it": IMPORTED_BY == os.getpid(), "files": sorted(map(int, os.listdir("/proc/self/fd")))[:-1]}
    print(json.dumps(said), flush=True)
    print("an error", file=sys.stderr)
    if sys.argv[1] == "wait":
        signal.pause()
    return int(sys.argv[1])
"""
Start = Callable[..., Forked]


def until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "greeter").mkdir()
    (tmp_path / "greeter/__init__.py").touch()
    (tmp_path / "greeter/__main__.py").write_text(SERVICE)
    (tmp_path / "input").write_text("secrets")
    return tmp_path


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    """Of the server."""
    return {**os.environ, "PYTHONPATH": str(folder), "KEPT": "1", "CHANGED": "1", "REMOVED": "1"}


@pytest.fixture
def forks(environment: dict[str, str]) -> Forks:
    return Forks(environment)


@pytest.fixture
def start(forks: Forks, folder: Path, environment: dict[str, str]) -> Iterator[Start]:
    """Starts one that writes to `output`."""
    started = list[Forked]()
    own = {**environment, "CHANGED": "2", "ADDED": "hidden"}
    del own["REMOVED"]

    def begin(*words: str) -> Forked:
        with (folder / "input").open() as stdin, (folder / "output").open("wb") as output:
            started.append(forks.start("greeter", words, own, stdin.fileno(), output.fileno()))
        return started[-1]

    yield begin
    for one in started:
        one.kill()


def said(folder: Path) -> dict[str, Any]:
    until(lambda: (folder / "output").read_text().endswith("an error\n"))
    return dict(json.loads((folder / "output").read_text().splitlines()[0]))


def server_of(one: Forked) -> psutil.Process:
    found = psutil.Process(one.pid).parent()
    assert found is not None
    return found


def test_it_has_its_own_arguments_environment_files_and_session(start: Start, folder: Path) -> None:
    one = start("wait", "--name", "ü")
    variables = {"KEPT": "1", "CHANGED": "2", "REMOVED": None, "ADDED": "hidden"}
    expected = {"words": ["wait", "--name", "ü"], "variables": variables, "given": "secrets", "leads_session": True, "imported_it": False}
    assert said(folder) == {**expected, "files": [0, 1, 2]}
    shown = psutil.Process(one.pid)
    assert shown.cmdline() == [sys.executable, "-m", "greeter", "wait", "--name", "ü"]
    assert "hidden" not in shown.environ().values()


@pytest.mark.parametrize("code", [0, 4, 77])
def test_its_exit_code_is_told(start: Start, code: int) -> None:
    one, other = start(str(code)), start("wait")
    assert one.wait(DEADLINE_S) == code
    assert other.poll() is None
    other.kill()
    assert other.wait(DEADLINE_S) == -9
    other.kill()
    with pytest.raises(subprocess.TimeoutExpired):
        start("wait").wait(0.1)


def test_many_are_told_apart(start: Start) -> None:
    many = [start(str(number)) for number in range(40)]
    assert [one.wait(DEADLINE_S) for one in many] == list(range(40))


def test_it_goes_on_without_its_server_and_another_server_comes(start: Start, folder: Path) -> None:
    one = start("wait")
    said(folder)
    other = start("wait")
    said(folder)  # it has closed what it shared with the server, whose death can be seen
    server = server_of(one)
    server.kill()
    until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
    assert one.poll() is None
    third = start("3")
    assert third.wait(DEADLINE_S) == 3
    assert one.poll() is None
    one.kill()
    other.kill()
    assert one.wait(DEADLINE_S) == other.wait(DEADLINE_S) == -9  # who asked is not its parent: nobody can know


def test_it_goes_on_when_nobody_asks_any_more_and_its_server_ends(environment: dict[str, str], folder: Path) -> None:
    forks = Forks(environment)
    with (folder / "input").open() as stdin, (folder / "output").open("wb") as output:
        one = forks.start("greeter", ["wait"], environment, stdin.fileno(), output.fileno())
    process, server = psutil.Process(one.pid), server_of(one)
    said(folder)
    del one, forks
    gc.collect()
    until(lambda: not server.is_running())
    assert process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    process.kill()


def test_a_service_that_cannot_be_imported_is_told(environment: dict[str, str]) -> None:
    forks = Forks(environment)
    for _ in range(2):
        with pytest.raises(UnreachableError, match="nowhere cannot be forked"):
            forks.start("nowhere", [], environment, 0, 1)


def test_what_is_imported_before_a_fork_runs_no_thread() -> None:
    command = "import os, thalweg_vertex.__main__, thalweg_coordinator.capture.__main__, thalweg.artifacts.s3_model\n"
    command += "print(len(os.listdir('/proc/self/task')))"
    assert subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True).stdout == "1\n"
