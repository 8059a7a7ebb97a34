"""Vertices in containers of their own: started through the Docker engine by whichever coordinator leads, found again by the next."""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.composed import Stack, copy_of_repository, doubled, socket_of_engine, wait_until

COMPONENT = '''
import hashlib
from dataclasses import dataclass
from thalweg import Secret, component

@dataclass
class Number:
    n: int

@dataclass
class Twice:
    twice: int
    proof: str

@component("sealed-double", version="1.0.0")
def sealed_double(number: Number, token: Secret) -> Twice:
    """Doubles, and shows that it has the secret."""
    return Twice(2 * number.n, hashlib.sha256(token.reveal().encode()).hexdigest())
'''
OF_DOUBLING = ["--filter", "label=thalweg.deployment=doubling"]
VALUE = "s3cr3t-value"


def build_own_image(stack: Stack) -> None:
    """By the recipe of docs/docker.md."""
    recipe = re.search(r"(?:^    .*\n)*^    FROM thalweg.*\n(?:^    .*\n)*", (stack.folder / "docs/docker.md").read_text(), re.MULTILINE)
    assert recipe is not None
    (stack.folder / "own").mkdir()
    (stack.folder / "own/Dockerfile").write_text(textwrap.dedent(recipe[0]))
    (stack.folder / "own/my_components.py").write_text(COMPONENT)
    stack.shell("DOCKER_BUILDKIT=0 ${DOCKER:-docker} build -q -t thalweg:own own")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = copy_of_repository(tmp_path_factory.mktemp("repository"))
    found = Stack(folder, "deploy/compose.docker.yaml")
    build_own_image(found)
    found.shell("deploy/make-env.sh")
    engine = socket_of_engine()
    with (folder / "deploy/.env").open("a") as env:
        env.write(
            f"DOCKER_SOCKET={engine}\nDOCKER_GID={os.stat(engine).st_gid}\nVERTEX_MEMORY_BYTES=300000000\nTHALWEG_IMAGE=thalweg:own\n"
        )
    graph = folder / "examples/doubling.yaml"
    sealed = "double: {component: sealed-double@1.0.0, secrets: {token: token}}"
    graph.write_text(re.sub(r"double: \{component.*", sealed, graph.read_text()))
    found.compose("up", "-d", "--no-build", "--wait")
    found.shell(f"echo {VALUE} | {found.command('run', '--rm', '-T', 'cli', 'thalweg', 'secret', 'set', 'token')}")
    found.thalweg("apply", "doubling.yaml")
    found.thalweg("deploy", "doubling")
    yield found
    found.shell("docker ps -aq --filter label=thalweg.workspace | xargs -r docker rm -f")
    found.compose("down", "--volumes", "--timeout", "10")


def containers(stack: Stack) -> dict[str, str]:
    """Containers of the deployment's vertices that run, by vertex."""
    listed = stack.docker("ps", *OF_DOUBLING, "--format", '{{.Label "thalweg.vertex"}} {{.ID}}')
    return dict(line.split() for line in listed.splitlines())


async def test_every_vertex_has_a_container_of_its_own_with_limits_and_without_rights(stack: Stack) -> None:
    assert await doubled(stack, range(10)) == list(range(0, 20, 2))
    found = containers(stack)
    assert found.keys() == {"door", "double", "show"}
    (facts,) = json.loads(stack.docker("inspect", found["double"]))
    host = facts["HostConfig"]
    assert (host["Memory"], host["NanoCpus"], host["RestartPolicy"]["Name"]) == (300_000_000, 10**9, "no")
    assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and facts["Config"]["User"] == "10001:10001"
    wait_until(lambda: json.loads(stack.docker("inspect", found["double"]))[0]["State"]["Health"]["Status"] == "healthy", "it is healthy")
    (status,) = json.loads(stack.thalweg("status", "doubling", "--json"))
    assert status["launcher"] == "docker" and all(one["memory_bytes"] > 0 for one in status["vertices"])


def test_secrets_come_to_the_vertex_and_no_inspection_shows_them(stack: Stack) -> None:
    shown = stack.docker("inspect", *containers(stack).values())
    assert VALUE not in shown and "sealed-double" not in shown
    assert "THALWEG_S3_SECRET_KEY" not in shown and "THALWEG_SECRET_KEY" not in shown  # it has no file


async def test_a_killed_vertex_is_started_again_and_nothing_is_lost_or_doubled(stack: Stack) -> None:
    before = containers(stack)
    stack.docker("kill", "--signal", "KILL", *before.values())
    assert await doubled(stack, range(100, 150)) == list(range(200, 300, 2))
    assert not {*before.values()} & {*containers(stack).values()}


async def test_containers_outlive_the_coordinators_and_are_found_again(stack: Stack) -> None:
    before = containers(stack)
    stack.docker("kill", "--signal", "KILL", *stack.compose("ps", "-q", "coordinator-1", "coordinator-2").split())
    assert await doubled(stack, range(200, 210)) == list(range(400, 420, 2))
    stack.compose("up", "-d", "--no-build", "--wait")
    stack.docker("kill", before["show"])
    assert await doubled(stack, range(300, 310)) == list(range(600, 620, 2))
    after = containers(stack)
    assert {name for name in before if before[name] == after[name]} == {"door", "double"}


def test_undeploy_leaves_no_container_and_no_volume(stack: Stack) -> None:
    stack.thalweg("undeploy", "doubling")
    assert stack.docker("ps", "-aq", *OF_DOUBLING) == stack.docker("volume", "ls", "-q", *OF_DOUBLING) == ""


def test_an_image_that_is_not_there_fails_the_deployment_in_words(stack: Stack, tmp_path: Path) -> None:
    override = tmp_path / "override.yaml"
    override.write_text("services: {coordinator-1: &c {environment: {THALWEG_VERTEX_IMAGE: 'thalweg:none'}}, coordinator-2: *c}\n")
    other = Stack(stack.folder, "deploy/compose.docker.yaml", str(override))
    other.compose("up", "-d", "--no-build", "--wait")
    other.thalweg("deploy", "doubling")
    wait_until(lambda: "No such image: thalweg:none" in other.thalweg("status", "doubling"), "the reason is told")
    other.thalweg("undeploy", "doubling", "--discard")
