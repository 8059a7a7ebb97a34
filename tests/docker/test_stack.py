"""The composed stack does what the README says, and goes on when containers are killed."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import msgpack
import nats
import pytest

from integration.composed import Stack, copy_of_repository, wait_until
from thalweg.bus.connection import connect
from thalweg.errors import UnreachableError

SUBJECTS = "tw.default.doubling.in.door.in", "tw.default.doubling.out.show.out"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Stack]:
    found = Stack(folder)
    if not (folder / "deploy/.env").exists():
        found.shell("deploy/make-env.sh")
    found.compose("up", "-d", "--no-build", "--wait")
    yield found
    found.compose("down", "--volumes", "--timeout", "10")


async def doubled(stack: Stack, numbers: range) -> list[int]:
    """What comes out for what goes in, from a plain NATS client; numbers are told apart from those of a test before."""
    secrets = stack.environment()
    client = await nats.connect("127.0.0.1:4222", user=secrets["NATS_USER"], password=secrets["NATS_PASSWORD"])
    answers = await client.subscribe(SUBJECTS[1])
    for n in numbers:
        await client.jetstream().publish(SUBJECTS[0], msgpack.packb({"n": n}), timeout=30)
    found = [msgpack.unpackb((await answers.next_msg(timeout=60)).data)["twice"] for _ in numbers]
    await client.close()
    return found


def test_the_docker_section_of_the_readme_runs_word_for_word(folder: Path) -> None:
    section = re.search(r"^## Docker\n(.*?)^## ", (folder / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert section is not None
    begin, client, end = [
        textwrap.dedent(found[0]) for found in re.finditer(r"(?:^(?: {4}.*)?\n)+", section[1], re.MULTILINE) if found[0].strip()
    ]
    (folder / "double.py").write_text(client)
    readme = Stack(folder)
    readme.shell(begin)
    printed = readme.shell(end)
    (said,) = re.findall(r"this prints `(.*)`", section[1])
    assert said in printed.splitlines()


async def test_records_go_through_though_every_container_is_killed(stack: Stack) -> None:
    stack.thalweg("apply", "doubling.yaml")
    stack.thalweg("deploy", "doubling")
    assert await doubled(stack, range(10)) == list(range(0, 20, 2))
    for killed, start in (("coordinator-1", 100), ("coordinator-2", 200), ("nats", 300), ("s3", 400)):
        container = stack.compose("ps", "-q", killed).strip()
        stack.docker("kill", "--signal", "KILL", container)
        stack.compose("up", "-d", "--no-build", "--wait")
        assert await doubled(stack, range(start, start + 50)) == list(range(2 * start, 2 * start + 100, 2))


def test_a_run_with_files_leaves_what_it_generates_in_the_store(stack: Stack) -> None:
    stack.thalweg("apply", "weather/pipeline.yaml")
    stack.thalweg("deploy", "seattle-weather")
    wait_until(lambda: "seattle-weather: finished" in stack.thalweg("status", "seattle-weather"), "the run has ended")
    said = stack.thalweg("undeploy", "seattle-weather")
    assert "saved save.file: seattle-monthly.parquet" in said
    assert "evidence seattle-weather-" in said


def test_services_have_no_rights_and_stop_at_once_when_asked(stack: Stack) -> None:
    container = stack.compose("ps", "-q", "gateway").strip()
    for refused in ("touch /x", "touch /opt/thalweg/x", "test $(id -u) = 0"):
        assert stack.shell(f"docker exec {container} sh -c '{refused}' 2>/dev/null && echo done || echo refused").strip() == "refused"
    stack.compose("stop", "gateway", "coordinator-1", "coordinator-2")
    codes = stack.shell(
        "docker compose -f deploy/compose.yaml ps -aq gateway coordinator-1 coordinator-2 | xargs docker inspect -f '{{.State.ExitCode}}'"
    )
    assert codes.split() == ["0", "0", "0"]


async def test_nobody_gets_in_without_the_password(stack: Stack) -> None:
    with pytest.raises(UnreachableError, match="Authorization Violation"):
        await connect("nats://127.0.0.1:4222", "stranger")
