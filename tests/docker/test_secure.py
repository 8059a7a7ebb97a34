"""The composed stack with TLS and credentials: it works as the plain one does, lets nobody else in, and no service has keys of another."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import urllib.request
from collections.abc import Iterator

import msgpack
import pytest

from integration.composed import SUBJECTS, Stack, blocks_of, copy_of_repository, section_of, socket_of_engine, wait_until
from integration.served import until
from thalweg.access.access import Access
from thalweg.bus.connection import connect
from thalweg.errors import UnreachableError

FILES = ("deploy/compose.secure.yaml", "deploy/compose.docker.yaml")
URL = "tls://127.0.0.1:4222"
HANDED = {
    "nats": "accounts.conf ca.pem nats.conf server.key server.pem tls.conf",
    "coordinator-1": "ca.pem coordinator.creds issuer.json",
    "coordinator-2": "ca.pem coordinator.creds issuer.json",
    "gateway": "ca.pem gateway.creds",
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = copy_of_repository(tmp_path_factory.mktemp("repository"))
    found = Stack(folder, *FILES)
    found.shell("deploy/make-env.sh")
    engine = socket_of_engine()
    with (folder / "deploy/.env").open("a") as env:
        env.write(f"DOCKER_SOCKET={engine}\nDOCKER_GID={os.stat(engine).st_gid}\n")
    found.compose("up", "-d", "--no-build", "--wait")
    found.thalweg("apply", "doubling.yaml")
    found.thalweg("deploy", "doubling")
    wait_until(lambda: "doubling: running" in found.thalweg("status", "doubling"), "it runs")
    yield found
    found.compose("stop", "coordinator-1", "coordinator-2")  # they would start vertices again
    found.shell("docker ps -aq --filter label=thalweg.workspace | xargs -r docker rm -f")
    found.compose("down", "--volumes", "--timeout", "10")


def follow(stack: Stack, block: int) -> None:
    """Runs a block of docs/docker.md."""
    lines = blocks_of(section_of(stack.folder / "docs/docker.md", "With TLS and credentials"))[block]
    stack.shell(f"export COMPOSE_FILE=deploy/compose.yaml:{':'.join(FILES)}\n{lines}")


@pytest.fixture(scope="module")
def access(stack: Stack) -> Access:
    """That of a program."""
    follow(stack, 1)
    return Access(None, (stack.folder / "program.creds").read_text(), stack.folder / "ca.pem")


async def doubled(access: Access, numbers: range) -> list[int]:
    """What a program hears of what it sends."""
    client = await connect(URL, "test", access=access)
    try:
        answers = await client.subscribe(SUBJECTS[1])
        await client.flush()
        for n in numbers:
            stored = json.loads((await client.request(SUBJECTS[0], msgpack.packb({"n": n}), timeout=30)).data)
            assert "error" not in stored
        return [msgpack.unpackb((await answers.next_msg(timeout=60)).data)["twice"] for _ in numbers]
    finally:
        await client.close()


async def is_refused(access: Access) -> bool:
    """Whether the server does not let these credentials in."""
    try:
        client = await connect(URL, "test", access=access)
    except UnreachableError as error:
        if "Authorization Violation" not in str(error):
            raise
        return True
    await client.close()
    return False


async def test_a_program_sends_and_hears_over_tls_by_its_credentials(access: Access) -> None:
    assert await doubled(access, range(10)) == list(range(0, 20, 2))


async def test_the_gateway_and_vertices_that_are_processes_have_credentials_too(stack: Stack, access: Access) -> None:
    token = stack.thalweg("endpoint", "rotate", "doubling", "door.in").split()[-1]
    client = await connect(URL, "test", access=access)
    answers = await client.subscribe(SUBJECTS[1])
    await client.flush()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request("http://127.0.0.1:8080/e/doubling/door/in", b'{"n": 50}', headers)
    with await asyncio.to_thread(urllib.request.urlopen, request, timeout=30) as answer:
        assert answer.status == 202
    assert msgpack.unpackb((await answers.next_msg(timeout=60)).data)["twice"] == 100
    await client.close()
    stack.thalweg("apply", "weather/pipeline.yaml")
    stack.thalweg("deploy", "seattle-weather", "--launcher", "process")
    wait_until(lambda: "seattle-weather: finished" in stack.thalweg("status", "seattle-weather"), "the run has ended")
    assert "saved save.file: seattle-monthly.parquet" in stack.thalweg("undeploy", "seattle-weather")


async def test_nobody_gets_in_without_credentials_nor_by_the_password_nor_without_tls(stack: Stack, access: Access) -> None:
    secrets = stack.environment()
    by_password = f"tls://{secrets['NATS_USER']}:{secrets['NATS_PASSWORD']}@127.0.0.1:4222"
    for url in (URL, by_password):
        with pytest.raises(UnreachableError, match="Authorization Violation"):
            await connect(url, "stranger", access=Access(None, None, access.ca_path))
    with pytest.raises(UnreachableError, match="certificate"):
        await connect(URL, "stranger", access=Access())
    for said in (b'{"verbose":false}', json.dumps({"user": secrets["NATS_USER"], "pass": secrets["NATS_PASSWORD"]}).encode()):
        reader, writer = await asyncio.open_connection("127.0.0.1", 4222)
        assert b'"tls_required":true' in await reader.readline()
        writer.write(b"CONNECT " + said + b"\r\nPING\r\n")
        assert b"PONG" not in await asyncio.wait_for(reader.read(1000), 30)
        writer.close()


def test_every_service_has_its_own_keys_alone_and_none_can_make_more(stack: Stack) -> None:
    for service, names in HANDED.items():
        script = shlex.quote("cd /etc/thalweg/keys; echo *; echo x 2>/dev/null >ca.pem && echo written || echo refused")
        assert stack.shell(f"{stack.command('exec', '-T', service, 'sh', '-c')} {script}").splitlines() == [names, "refused"]
    running = json.loads(stack.docker("inspect", *stack.docker("ps", "-q").split()))
    assert len(running) == 5 + 3
    mounted = {mount.get("Name") for one in running for mount in one["Mounts"]}
    assert "thalweg_keys-nats" in mounted and "thalweg_keys" not in mounted
    of_vertices = [one for one in running if "thalweg.vertex" in one["Config"]["Labels"]]
    assert len(of_vertices) == 3
    for one in of_vertices:
        assert [mount["Destination"] for mount in one["Mounts"]] == ["/data"]
        assert "THALWEG_NATS_URL=tls://nats:4222" in one["Config"]["Env"]
    logs = "".join(stack.shell(f"docker logs {one['Id']} 2>&1") for one in running)
    for found in (json.dumps(running), logs):
        assert not re.search(r"\bS[UAO][A-Z2-7]{56}\b", found)  # a seed of NATS


def test_what_the_server_tells_of_its_connections_is_not_told_to_vertices(stack: Stack) -> None:
    ask = "import urllib.request; print(urllib.request.urlopen('http://nats:8222/connz', timeout=5).status)"
    refused = stack.shell(f"{stack.command('exec', '-T', 'gateway', 'python', '-c', ask)} 2>&1 || true")
    assert "Connection refused" in refused


async def test_a_stack_that_is_made_anew_keeps_its_keys(stack: Stack, access: Access) -> None:
    made = ("exec", "-T", "coordinator-1", "sha256sum", "/etc/thalweg/keys/issuer.json", "/etc/thalweg/keys/ca.pem")
    before = stack.compose(*made)
    stack.compose("up", "-d", "--no-build", "--force-recreate", "--wait")
    assert stack.compose(*made) == before
    assert await doubled(access, range(100, 110)) == list(range(200, 220, 2))


async def test_what_is_revoked_no_longer_lets_anyone_in_and_vertices_go_on(stack: Stack, access: Access) -> None:
    follow(stack, 2)
    await until(lambda: is_refused(access))  # the server reloads when it gets to that
    follow(stack, 1)
    text = (stack.folder / "program.creds").read_text()
    assert text != access.text
    assert await doubled(Access(None, text, access.ca_path), range(200, 210)) == list(range(400, 420, 2))
