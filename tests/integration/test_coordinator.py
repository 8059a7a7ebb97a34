"""The coordinator over real servers and vertices: deaths, deployments of the same name, deployments that cannot be."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from thalweg.bus.connection import Client, connect
from thalweg.bus.deployments import create_log, delete_deployment, ensure_bucket, store_deployment
from thalweg.client.runs import Heads, follow, read_commits, wait_for_log
from thalweg.embedded import EmbeddedStack
from thalweg.embedded.leftovers import process_of
from thalweg.errors import STOPPED_EXIT_CODE, RunFailedError, UnreachableError
from thalweg.graph.pipeline import Pipeline
from thalweg.graph.plan import check_pipeline
from thalweg.sdk.catalog import Catalog
from thalweg.wire.planned import spec_of
from thalweg.wire.spec import DeploymentSpec
from thalweg_coordinator.care import STALL_S
from thalweg_vertex.presence import until_unwanted

PARTS = Path(__file__).parent / "parts.py"
DEADLINE_S = 90.0


def _spec(name: str, step: str = "", count: int = 100, pause_s: float = 0.0, **settings: Any) -> DeploymentSpec:
    """`count`, with `step` behind it when given."""
    vertices: dict[str, Any] = {"numbers": {"component": "count@1.0.0", "params": {"count": count, "pause_s": pause_s}}}
    if step:
        vertices["step"] = {"component": f"{step}@1.0.0"}
    return _deployment(name, vertices, ["numbers.out -> step.in"] if step else [], **settings)


def _branches(name: str, source: dict[str, Any], branch: dict[str, Any]) -> DeploymentSpec:
    """A source, and a zip of it with a branch of it, with little room between them."""
    edges = ["source.out -> pairs.a", "source.out -> branch.in", "branch.out -> pairs.b"]
    vertices = {"source": source, "branch": branch, "pairs": {"component": "pairs@1.0.0"}}
    return _deployment(name, vertices, edges, max_messages_per_subject=32, batch_records=10)


def _deployment(name: str, vertices: dict[str, Any], edges: list[str], **settings: Any) -> DeploymentSpec:
    pipeline = Pipeline.model_validate({"backend": "test", "vertices": vertices, "edges": edges})
    plan = check_pipeline(pipeline, Catalog(paths=(PARTS,)), Path())
    plan.raise_if_faulty()
    return DeploymentSpec("default", name, "test", [spec_of(one) for one in plan.vertices], **settings)


def _service(stack: EmbeddedStack, data: Path, *words: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, **stack.environment(), "THALWEG_DATA": str(data)}
    return subprocess.Popen([sys.executable, "-m", *words], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@asynccontextmanager
async def _coordinator(tmp_path: Path) -> AsyncIterator[tuple[Client, Path]]:
    """Servers, a coordinator over all deployments, a connection; at the end, no vertex is left."""
    with EmbeddedStack(tmp_path) as own:
        client = await connect(own.nats_url, "test")
        await ensure_bucket(client, "default")
        service = _service(own, tmp_path, "thalweg_coordinator")
        try:
            yield client, tmp_path
            for name in [path.name for path in (tmp_path / "vertices").glob("*")]:
                await _remove(client, tmp_path, name)
        finally:
            service.terminate()
            await asyncio.to_thread(service.wait)
            await client.close()


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _remove(client: Client, data: Path, name: str) -> None:
    await delete_deployment(client, "default", name)

    async def is_gone() -> bool:
        return not (data / "vertices" / name).exists()

    await _until(is_gone)


async def _run(client: Client, spec: DeploymentSpec) -> Heads:
    await store_deployment(client, spec)
    await wait_for_log(client, spec)
    return await asyncio.wait_for(follow(client, spec, lambda heads: None), DEADLINE_S)


async def test_a_vertex_that_leaves_in_the_middle_or_is_killed_again_and_again_fails_its_deployment(tmp_path: Path) -> None:
    async with _coordinator(tmp_path) as (client, _):
        left, drowned = await asyncio.gather(
            _run(client, _spec("left", "leave")), _run(client, _spec("drowned", "drown")), return_exceptions=True
        )
        assert isinstance(left, RunFailedError) and isinstance(drowned, RunFailedError)
        assert left.code == drowned.code == "vertex.crash_loop"
        assert "exit code 0" in str(left)
        assert "killed by SIGKILL; out of memory?" in str(drowned)
        assert "  taking more and more" in str(drowned).splitlines()


async def test_a_name_can_be_deployed_again_and_is_trimmed_again(tmp_path: Path) -> None:
    async with _coordinator(tmp_path) as (client, data):
        spec = _spec("again", "swallow", count=2_000, max_messages_per_subject=16, batch_records=10)
        for _ in range(2):
            commits = await _run(client, spec)
            assert commits["step"].counters.records_in == 2_000
            await _remove(client, data, "again")


async def test_large_state_leaves_its_source_room_however_little_there_is(tmp_path: Path) -> None:
    async with _coordinator(tmp_path) as (client, _):
        commits = await _run(client, _spec("roomy", "large", count=500, max_messages_per_subject=8, batch_records=1))
        assert commits["step"].counters.records_out == 500


async def test_a_graph_that_waits_for_itself_fails_and_one_that_is_slow_or_silent_for_long_does_not(tmp_path: Path) -> None:
    count, thirds = {"component": "count@1.0.0", "params": {"count": 2_000}}, {"component": "thirds@1.0.0"}
    long_s = STALL_S + 4.0
    specs = [
        _branches("stalled", count, thirds),
        _branches("slow", count, {"component": "lingering@1.0.0", "params": {"at": 900, "pause_s": long_s}}),
        _branches("silent", {"component": "pausing@1.0.0", "params": {"at": 31, "pause_s": long_s}}, thirds),
    ]
    async with _coordinator(tmp_path) as (client, _):
        stalled, slow, silent = await asyncio.gather(*(_run(client, spec) for spec in specs), return_exceptions=True)
        assert isinstance(stalled, RunFailedError), stalled
        assert stalled.code == "graph.stalled"
        assert "branch.out>b" in str(stalled) and "source.out>a" in str(stalled)
        assert isinstance(slow, dict) and slow["pairs"].counters.records_out == 2_000
        assert isinstance(silent, dict) and silent["pairs"].counters.records_out == 20


async def test_a_deployment_that_cannot_have_a_log_keeps_none_of_the_others_from_running(tmp_path: Path) -> None:
    async with _coordinator(tmp_path) as (client, _):
        broken: dict[str, dict[str, Any]] = {"a-refused-one": {"max_messages_per_subject": -5}, "an-unreadable-one": {"storage": "nowhere"}}
        for name, settings in broken.items():
            await store_deployment(client, _spec(name, **settings))
        commits = await _run(client, _spec("b-sound-one"))
        assert commits["numbers"].counters.records_out == 100
        for name in broken:
            await delete_deployment(client, "default", name)


async def test_a_vertex_ends_by_itself_when_its_deployment_is_gone(stack: EmbeddedStack, tmp_path: Path) -> None:
    client = await connect(stack.nats_url, "test")
    vertex = await _lone_vertex(client, stack, tmp_path, "orphan")
    await delete_deployment(client, "default", "orphan")
    assert await asyncio.to_thread(vertex.wait, DEADLINE_S) == RunFailedError.exit_code
    await client.close()


async def test_a_vertex_that_is_asked_to_stop_commits_and_says_so(stack: EmbeddedStack, tmp_path: Path) -> None:
    client = await connect(stack.nats_url, "test")
    vertex = await _lone_vertex(client, stack, tmp_path, "asked")
    vertex.terminate()
    assert await asyncio.to_thread(vertex.wait, DEADLINE_S) == STOPPED_EXIT_CODE
    await delete_deployment(client, "default", "asked")
    await client.close()


async def _lone_vertex(client: Client, stack: EmbeddedStack, data: Path, name: str) -> subprocess.Popen[bytes]:
    """A vertex with a long way to go and no coordinator, once it has committed records."""
    spec = _spec(name, count=1_000_000, pause_s=0.001)
    await ensure_bucket(client, "default")
    await store_deployment(client, spec)
    await create_log(client, spec)
    vertex = _service(stack, data, "thalweg_vertex", "--deployment", name, "--vertex", "numbers")

    async def has_committed() -> bool:
        return any(one.counters.records_out for one in (await read_commits(client, spec)).values())

    await _until(has_committed)
    return vertex


async def test_a_vertex_that_reaches_no_server_for_long_gives_up(tmp_path: Path) -> None:
    with EmbeddedStack(tmp_path) as own:
        client = await connect(own.nats_url, "test")
        spec = _spec("lost")
        await ensure_bucket(client, "default")
        await store_deployment(client, spec)
    with pytest.raises(UnreachableError):
        await asyncio.wait_for(until_unwanted(client, spec, check_s=0.05, lost_s=0.2), DEADLINE_S)
    with suppress(OSError):  # of a connection that has nobody at its other end
        await client.close()


async def test_vertices_that_have_ended_meanwhile_are_stopped_without_a_fault(tmp_path: Path) -> None:
    async with _coordinator(tmp_path) as (client, data):
        await store_deployment(client, _spec("short", count=1_000_000, pause_s=0.001))
        pid_file = data / "vertices" / "short" / "numbers.json"

        async def runs() -> bool:
            return process_of(pid_file) is not None

        await _until(runs)
        os.kill(json.loads(pid_file.read_text())["pid"], signal.SIGKILL)
        await _remove(client, data, "short")
