"""The composed stack does what the README says, and goes on when containers are killed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.composed import Stack, blocks_of, copy_of_repository, doubled, section_of, wait_until
from thalweg.bus.connection import connect
from thalweg.errors import UnreachableError


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
    for project in ("thalweg-static", "thalweg-doubling"):  # what a test that failed has left
        found.docker("compose", "-p", project, "down", "--volumes", "--timeout", "10")
    found.compose("down", "--volumes", "--timeout", "10")


def test_the_docker_section_of_the_readme_runs_word_for_word(folder: Path) -> None:
    section = section_of(folder / "README.md", "Docker")
    begin, client, end = blocks_of(section)
    (folder / "double.py").write_text(client)
    readme = Stack(folder)
    readme.shell(begin)
    printed = readme.shell(end)
    (said,) = re.findall(r"this prints `(.*)`", section)
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
    (evidence,) = re.findall(r"evidence (seattle-weather-\S+)", said)
    assert '"sync":"declared-always"' in stack.thalweg("evidence", "show", evidence, "--json").replace(" ", "")


def is_said(stack: Stack, what: str, name: str) -> bool:
    """Whether `thalweg status` of a deployment says something; there need be none yet."""
    return what in stack.shell(f"{stack.command('run', '--rm', '-T', 'cli', 'thalweg', 'status', name)} || true")


async def test_a_pipeline_runs_from_a_compose_file_of_its_own_heeds_changes_and_ends(stack: Stack) -> None:
    static = "docker compose --env-file deploy/.env -f examples/doubling.compose.yaml"
    graph = stack.folder / "examples/doubling.yaml"
    stack.thalweg("undeploy", "doubling")
    stack.shell(".venv/bin/thalweg compose examples/doubling.yaml --out examples/doubling.compose.yaml")
    stack.shell(f"{static} up -d --no-build")
    wait_until(lambda: is_said(stack, "doubling: running", "doubling"), "it runs")
    assert await doubled(stack, range(10)) == list(range(0, 20, 2))
    stack.shell(f"{static} kill --signal KILL double show")
    stack.shell(f"{static} up -d --no-build --no-recreate")
    assert await doubled(stack, range(100, 120)) == list(range(200, 240, 2))
    graph.write_text(graph.read_text().replace("n * 2", "n * 3"))
    stack.shell(f"{static} up -d --no-build --force-recreate --no-deps _deploy")
    wait_until(lambda: is_said(stack, "generation 2", "doubling"), "it is redeployed")
    for _ in range(2):  # the vertex goes over between two records
        last = await doubled(stack, range(1000, 1100))
    assert last == list(range(3000, 3300, 3))
    assert stack.thalweg("undeploy", "doubling").endswith("doubling: removed\n")
    stack.shell(f"{static} down --volumes --timeout 10")


def test_a_finite_pipeline_of_a_compose_file_leaves_its_files_in_the_store(stack: Stack) -> None:
    static = "docker compose --env-file deploy/.env -f examples/weather.compose.yaml"
    stack.shell(".venv/bin/thalweg compose examples/weather/pipeline.yaml --name static --out examples/weather.compose.yaml")
    stack.shell(f"{static} up -d --no-build")
    wait_until(lambda: is_said(stack, "static: finished", "static"), "it has run")
    assert stack.shell(f"{static} ps -q --status running").count("\n") == 4  # they wait
    assert "saved save.file: seattle-monthly.parquet" in stack.thalweg("undeploy", "static")
    stack.shell(f"{static} down --volumes --timeout 10")


def test_services_have_no_rights_and_stop_at_once_when_asked(stack: Stack) -> None:
    container = stack.compose("ps", "-q", "gateway").strip()
    for refused in ("touch /x", "touch /opt/thalweg/x", "test $(id -u) = 0"):
        assert stack.shell(f"docker exec {container} sh -c '{refused}' 2>/dev/null && echo done || echo refused").strip() == "refused"
    stack.compose("stop", "gateway", "coordinator-1", "coordinator-2")
    codes = stack.shell(
        "docker compose -f deploy/compose.yaml ps -aq gateway coordinator-1 coordinator-2 | xargs docker inspect -f '{{.State.ExitCode}}'"
    )
    assert codes.split() == ["0", "0", "0"]


def test_no_password_and_no_key_is_in_a_command_line_or_a_log(stack: Stack) -> None:
    who = {"NATS_USER", "THALWEG_S3_ACCESS_KEY"}  # names, as the file store's log tells one
    values = [value for name, value in stack.environment().items() if name not in who]
    containers = stack.compose("ps", "-aq").split()
    assert len(values) == 5 and len(containers) == 5
    commands = [(one["Path"], one["Args"], one["Config"]["Healthcheck"]) for one in json.loads(stack.docker("inspect", *containers))]
    logs = [stack.shell(f"docker logs {one} 2>&1") for one in containers]
    assert all(logs) and "nats-server" in "".join(logs)
    assert not [value for value in values if value in f"{commands}{logs}"]


async def test_nobody_gets_in_without_the_password(stack: Stack) -> None:
    with pytest.raises(UnreachableError, match="Authorization Violation"):
        await connect("nats://127.0.0.1:4222", "stranger")
