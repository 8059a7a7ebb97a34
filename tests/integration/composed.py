"""The composed stack in a copy of the repository, and what tests do with its containers."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import msgpack
import nats
from nats.js.api import DeliverPolicy

ROOT = Path(__file__).resolve().parents[2]
SUBJECTS = "tw.default.doubling.in.door.in", "tw.default.doubling.out.show.out"
COMPOSE = ["docker", "compose", "-f", "deploy/compose.yaml"]


def copy_of_repository(folder: Path) -> Path:
    """The files under version control, and the virtual environment by a link."""
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, names.decode().split("\0")):
        if not (ROOT / name).exists():  # removed, and not committed yet
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


class Stack:
    """Commands in a copy of the repository."""

    def __init__(self, folder: Path, *files: str) -> None:
        self.folder = folder
        self._files = [part for name in files for part in ("-f", name)]

    def shell(self, script: str) -> str:
        """Runs lines of bash; they end at the first that fails."""
        return self._output(["bash", "-euo", "pipefail", "-c", script])

    def compose(self, *arguments: str) -> str:
        """Runs `docker compose`."""
        return self._output([*COMPOSE, *self._files, *arguments])

    def command(self, *arguments: str) -> str:
        """The same for a line of bash."""
        return shlex.join([*COMPOSE, *self._files, *arguments])

    def thalweg(self, *arguments: str) -> str:
        """Runs `thalweg` in the stack."""
        return self.compose("run", "--rm", "-T", "cli", "thalweg", *arguments)

    def docker(self, *arguments: str) -> str:
        """Runs `docker`."""
        return self._output(["docker", *arguments])

    def environment(self) -> dict[str, str]:
        """What `deploy/.env` says."""
        lines = (self.folder / "deploy/.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def _output(self, command: list[str]) -> str:
        found = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env={**os.environ}, timeout=600)
        assert found.returncode == 0, f"{command}\n{found.stdout}\n{found.stderr}"
        return found.stdout


def wait_until(is_so: Callable[[], bool], what: str, timeout_s: float = 180.0) -> None:
    """Fails when it does not become so in time."""
    end = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < end, f"not in {timeout_s:g} s: {what}"
        time.sleep(0.2)


async def doubled(stack: Stack, numbers: range) -> list[int]:
    """What is on the log of what comes out for what goes in. A subscription past the log would also see what the log has refused."""
    secrets = stack.environment()
    client = await nats.connect("127.0.0.1:4222", user=secrets["NATS_USER"], password=secrets["NATS_PASSWORD"])
    answers = await client.jetstream().subscribe(SUBJECTS[1], ordered_consumer=True, deliver_policy=DeliverPolicy.NEW)
    for n in numbers:
        await client.jetstream().publish(SUBJECTS[0], msgpack.packb({"n": n}), timeout=30)
    found = [msgpack.unpackb((await answers.next_msg(timeout=60)).data)["twice"] for _ in numbers]
    await client.close()
    return found


def section_of(page: Path, heading: str) -> str:
    """What is below a heading of a page."""
    found = re.search(rf"^## {heading}\n(.*?)^## ", page.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def blocks_of(section: str) -> list[str]:
    """The indented blocks of a section."""
    found = re.finditer(r"(?:^(?: {4}.*)?\n)+", section, re.MULTILINE)
    return [textwrap.dedent(one[0]) for one in found if one[0].strip()]


def socket_of_engine() -> str:
    """Path of the Docker engine's socket."""
    return os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
