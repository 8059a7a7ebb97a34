"""`thalweg tap` on a run that goes on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from thalweg.bus.connection import Client, connect
from thalweg.bus.deployments import list_deployments
from thalweg.bus.heads import StoredMessage
from thalweg.bus.watch import LogWatch
from thalweg.embedded import EmbeddedStack

PARTS = Path(__file__).parent / "parts.py"
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def thalweg(stack: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Runs the command against the stack."""
    folder = tmp_path_factory.mktemp("tap")
    environment = {**os.environ, **stack.environment(), "THALWEG_DATA": str(folder / "data")}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "thalweg_cli", *words]
        return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=90, check=False)

    return run


@pytest.fixture(scope="module")
def running(stack: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Name of a deployment that runs for longer than the tests."""
    folder = tmp_path_factory.mktemp("running")
    vertices = {
        "pictures": {"component": "pictures@1.0.0", "params": {"count": 1_000_000, "pause_s": 0.005}},
        "look": {"component": "glance@1.0.0"},
    }
    pipeline = folder / "pipeline.yaml"
    pipeline.write_text(json.dumps({"backend": "tapped", "vertices": vertices, "edges": ["pictures.out -> look.in"]}))
    command = [sys.executable, "-m", "thalweg_cli", "run", str(pipeline), "--components", str(PARTS)]
    process = subprocess.Popen(command, env={**os.environ, **stack.environment(), "THALWEG_DATA": str(folder / "data")}, cwd=folder)
    try:
        yield asyncio.run(_wait_for_records(stack.nats_url))
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


async def _wait_for_records(url: str) -> str:
    client = await connect(url, "test")
    try:
        async with asyncio.timeout(60):
            while True:
                for name in await list_deployments(client, "default"):
                    if name.startswith("tapped-") and any(head.subject.split(".")[5] == "out" for head in await heads_of(client, name)):
                        return name
                await asyncio.sleep(0.1)
    finally:
        await client.close()


async def heads_of(client: Client, name: str) -> list[StoredMessage]:
    look = await LogWatch(client, "default", name).look()
    return look.heads if look is not None else []


def test_records_are_shown_as_json_from_now_on(thalweg: Command, running: str) -> None:
    done = thalweg("tap", running, "pictures.out", "--count", "20", "--json")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(found) == 20
    first = found[0]["value"]["n"]
    assert [one["value"]["n"] for one in found] == list(range(first, first + 20))
    assert found[0]["value"]["image"].startswith("image 16 x 12 png")
    assert len({(one["sequence"], one["index"]) for one in found}) == 20


def test_an_expression_and_a_sample_choose(thalweg: Command, running: str) -> None:
    done = thalweg("tap", running, "pictures.out", "--where", "n % 7 == 3", "--count", "4", "--json")
    assert all(json.loads(line)["value"]["n"] % 7 == 3 for line in done.stdout.splitlines())
    done = thalweg("tap", running, "pictures.out", "--sample", "20%", "--count", "10", "--json")
    numbers = [json.loads(line)["value"]["n"] for line in done.stdout.splitlines()]
    assert numbers[-1] - numbers[0] > len(numbers)


def test_images_are_saved_as_files_that_open(thalweg: Command, running: str, tmp_path: Path) -> None:
    import cv2

    done = thalweg("tap", running, "pictures.out", "--count", "3", "--json", "--save", str(tmp_path / "seen"))
    for line in done.stdout.splitlines():
        value = json.loads(line)["value"]
        pixels = cv2.imread(value["image"])
        assert pixels is not None and pixels.shape == (12, 16, 3) and (pixels == value["n"] % 256).all()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nothing", "pictures.out"), "there is no deployment nothing"),
        (("{}", "dry.out"), "has no vertex dry"),
        (("{}", "pictures.in"), "no output port 'in'"),
        (("{}", "pictures"), "VERTEX.PORT"),
        (("{}", "pictures.out", "--where", "rain > 1"), "rain"),
        (("{}", "pictures.out", "--sample", "200%"), "not a share"),
    ],
)
def test_what_cannot_be_tapped_is_told_in_a_line(thalweg: Command, running: str, words: tuple[str, ...], told: str) -> None:
    done = thalweg("tap", *(word.format(running) for word in words))
    assert done.returncode in (2, 3) and "Traceback" not in done.stderr
    assert told in done.stderr and done.stderr.startswith("error: ")


def test_a_deployment_that_has_ended_is_told_and_not_waited_for(thalweg: Command) -> None:
    pipeline = PARTS.parents[2] / "examples/weather/pipeline.yaml"
    done = thalweg("run", str(pipeline), "--keep", "--json")
    name = json.loads(done.stdout)["deployment"]
    refused = thalweg("tap", name, "wet.out")
    assert refused.returncode == 3 and "has come to its end" in refused.stderr and "--from 0" in refused.stderr
    assert thalweg("tap", name, "wet.out", "--from", "0").returncode == 0
