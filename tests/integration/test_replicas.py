"""Streams on three NATS servers: how many copies they have, who says so, how their servers are found."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from faults.nats_cluster import DEADLINE_S, Cluster, cluster, loopback_places
from thalweg.bus.connection import Client, connect, is_clustered
from thalweg.bus.deployments import create_log, ensure_bucket, store_deployment
from thalweg.bus.heads import latest_commits
from thalweg.bus.leases import Leases
from thalweg.bus.log_stream import ensure_log_stream
from thalweg.bus.operation_logs import ensure_operation_logs
from thalweg.bus.raw_reader import RawReader
from thalweg.bus.streams import call
from thalweg.bus.vertex_log import VertexLog
from thalweg.bus.watch import LogWatch
from thalweg.errors import FencedOutError
from thalweg.runtime.loop import claim
from thalweg.wire import subjects
from thalweg.wire.batch import encode_batch
from thalweg.wire.commit import Commit
from thalweg.wire.spec import DeploymentSpec
from thalweg_coordinator.replicas import match_all

ACCOUNT = 'authorization { user: ada, password: "love,lace" }\n'
_names = (f"three-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(loopback_places(), tmp_path_factory.mktemp("nodes"), ACCOUNT) as found:
        asyncio.run(found.until_healthy())
        yield found


@asynccontextmanager
async def _connected(servers: Cluster, replicas: int) -> AsyncIterator[Client]:
    first, *others = (node.url for node in servers.nodes)
    client = await connect(",".join([first.replace("://", "://ada:love,lace@"), *others]), "test", replicas)
    try:
        yield client
    finally:
        await client.close()


async def _replicas(client: Client, stream: str) -> int:
    return int((await call(client, f"STREAM.INFO.{stream}", {}))["config"]["num_replicas"])


async def test_a_coordinator_gives_former_streams_their_replicas_and_says_which_stay_as_they_are(servers: Cluster) -> None:
    workspace = next(_names)
    streams = [subjects.logs_stream(workspace), subjects.operations_stream(workspace), f"KV_{subjects.deployments_bucket(workspace)}"]
    async with _connected(servers, 1) as client:
        await ensure_bucket(client, workspace)
        await ensure_operation_logs(client, workspace)
        await ensure_log_stream(client, workspace, 3600, 1 << 20)
        await store_deployment(client, DeploymentSpec(workspace, "old", "old", []))
        assert [await _replicas(client, name) for name in streams] == [1, 1, 1]
        assert await match_all(client, workspace) == []
    async with _connected(servers, 3) as client:
        (line,) = await match_all(client, workspace)
        assert line.startswith("the log of deployment old has 1 replicas, and not 3")
        assert [await _replicas(client, name) for name in streams] == [3, 3, 3]
        await Leases(client, workspace).ensure()
        assert await _replicas(client, f"KV_{subjects.bucket(workspace, 'leases')}") == 3


async def test_commits_are_fenced_and_heads_are_the_newest_on_three_servers(servers: Cluster) -> None:
    async with _connected(servers, 3) as client:
        spec = DeploymentSpec("default", next(_names), "test", [], replicas=3)
        await create_log(client, spec)
        stream = subjects.stream("default", spec.name)
        assert is_clustered(client) and await _replicas(client, stream) == 3
        old, new = (VertexLog(client, "default", spec.name, "up", [], in_arrival_order=False) for _ in range(2))
        watch, arrived = LogWatch(client, "default", spec.name), asyncio.Event()
        reader = RawReader(client, stream, [subjects.everything("default", spec.name)], 1, arrived.set)
        await reader.open()
        await claim(old)
        for number in range(2, 40):
            await old.write([("out", encode_batch([msgspec.msgpack.encode(number)], [0], [0], 0, None))], Commit(epoch=1, number=number))
            look = await watch.look()
            assert look is not None and look.last_sequence == number and latest_commits(look.heads)["up"].number == number
            if await reader.has_all():
                assert len(reader.arrived) == number
        await claim(new)
        with pytest.raises(FencedOutError):
            await old.write([("out", b"")], Commit(epoch=1, number=40))
        await reader.close()


async def test_name_and_password_of_one_url_are_those_for_servers_that_are_found(servers: Cluster) -> None:
    first = servers.nodes[0]
    client = await connect(first.url.replace("://", "://ada:love,lace@"), "test")
    try:
        first.kill()
        async with asyncio.timeout(DEADLINE_S):
            while not client.is_connected or client._server_info["server_name"] == first.name:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert "error" not in await call(client, "INFO", {})
    finally:
        await client.close()
        first.start()
        await servers.until_healthy()
