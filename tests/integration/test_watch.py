"""Looking at a deployment log: newest messages without bodies, of any number of subjects, over restarts of the server."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from thalweg.bus import consumers, heads
from thalweg.bus.connection import Client, NatsError, connect
from thalweg.bus.deployments import create_log, delete_log, purge_below
from thalweg.bus.heads import latest_commits, read_heads
from thalweg.bus.watch import LogWatch, Look
from thalweg.embedded import EmbeddedStack
from thalweg.errors import ThalwegError
from thalweg.wire import subjects
from thalweg.wire.commit import HEADER, Commit, encode_commit
from thalweg.wire.spec import DeploymentSpec

_numbers = itertools.count()


async def _write(client: Client, name: str, vertex: str, number: int, size_bytes: int = 10) -> None:
    headers = {HEADER: encode_commit(Commit(1, number))}
    await client.request(subjects.port("default", name, vertex, "out"), os.urandom(size_bytes), headers=headers, timeout=10)


async def _log(client: Client) -> str:
    spec = DeploymentSpec("default", f"watch-{next(_numbers)}", "test", [])
    await create_log(client, spec)
    return spec.name


async def _look(watch: LogWatch) -> Look | None:
    """The first look that succeeds."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await watch.look()
            except (ThalwegError, NatsError, OSError, TimeoutError):
                await asyncio.sleep(0.05)


async def test_heads_come_without_bodies_and_are_read_only_when_something_was_written(stack: EmbeddedStack) -> None:
    client = await connect(stack.nats_url, "test")
    name = await _log(client)
    watch = LogWatch(client, "default", name)
    empty = await watch.look()
    assert empty is not None and (empty.heads, empty.last_sequence) == ([], 0)
    for number in (1, 2):
        await _write(client, name, "a", number, 500_000)
    before = client.stats["in_bytes"]
    look = await watch.look()
    assert look is not None and [(head.sequence, head.data) for head in look.heads] == [(2, b"")]
    assert latest_commits(look.heads) == {"a": Commit(1, 2)}
    assert client.stats["in_bytes"] - before < 10_000
    assert await watch.look() is look
    await delete_log(client, "default", name)
    assert await watch.look() is None
    await client.close()


async def test_more_than_a_thousand_subjects_are_all_read(stack: EmbeddedStack) -> None:
    client = await connect(stack.nats_url, "test")
    name = await _log(client)
    headers = {HEADER: encode_commit(Commit(1, 1))}
    for vertex in range(1_100):
        await client.publish(subjects.port("default", name, f"v{vertex}", "out"), b"", headers=headers)
    await _write(client, name, "v0", 2)
    found = await read_heads(client, "default", name)
    assert len(latest_commits(found)) == len(found) == 1_100
    await delete_log(client, "default", name)
    await client.close()


async def test_another_log_of_the_name_is_told_from_the_first(stack: EmbeddedStack) -> None:
    client = await connect(stack.nats_url, "test")
    spec = DeploymentSpec("default", "watch-again", "test", [])
    watch, looks = LogWatch(client, "default", spec.name), []
    for _ in range(2):
        await create_log(client, spec)
        await _write(client, spec.name, "a", 1)
        looks.append(await watch.look())
        await delete_log(client, "default", spec.name)
    first, second = looks
    assert first is not None and second is not None and first.created != second.created
    await client.close()


async def test_a_watch_goes_on_after_the_server_was_killed(tmp_path: Path) -> None:
    with EmbeddedStack(tmp_path) as own:
        client = await connect(own.nats_url, "test")
        name = await _log(client)
        watch = LogWatch(client, "default", name)
        await _write(client, name, "a", 1)
        await watch.look()
        pid = own.processes[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        look = await _look(watch)
        assert look is not None and latest_commits(look.heads) == {"a": Commit(1, 1)}
        await _write(client, name, "a", 2)
        look = await _look(watch)
        assert look is not None and latest_commits(look.heads) == {"a": Commit(1, 2)}
        await client.close()


async def test_twenty_logs_fit_beside_each_other(stack: EmbeddedStack) -> None:
    client = await connect(stack.nats_url, "test")
    names = [await _log(client) for _ in range(20)]
    await asyncio.gather(*(delete_log(client, "default", name) for name in names))
    await client.close()


async def test_no_head_is_left_out_while_older_messages_are_trimmed(stack: EmbeddedStack, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await connect(stack.nats_url, "test")
    name = await _log(client)
    for number, vertex in enumerate(("a", "c", "b", "c"), 1):
        await _write(client, name, vertex, number)
    makes = consumers.make_consumer

    async def make_then_trim(*given: Any) -> Any:
        made = await makes(*given)
        await purge_below(client, "default", name, subjects.port("default", name, "c", "out"), 4)
        return made

    monkeypatch.setattr(heads, "make_consumer", make_then_trim)
    assert sorted(one.sequence for one in await read_heads(client, "default", name)) == [1, 3, 4]
    await delete_log(client, "default", name)
    await client.close()


async def test_heads_that_are_purged_while_they_are_read_are_not_waited_for(stack: EmbeddedStack) -> None:
    client, other = await connect(stack.nats_url, "test"), await connect(stack.nats_url, "other")
    for _ in range(3):
        name = await _log(client)
        stream = subjects.stream("default", name)
        for number in range(1000):
            await client.publish(subjects.port("default", name, f"v{number}", "out"), b"")
        await _write(client, name, "last", 1)  # is acknowledged, so that all before it are stored

        async def purge(stream: str = stream) -> None:
            await other.request(f"$JS.API.STREAM.PURGE.{stream}", b"{}", timeout=10)

        purged = asyncio.create_task(purge())
        while not purged.done():
            await read_heads(client, "default", name, timeout_s=1.0)
        await purged
        assert await read_heads(client, "default", name) == []
        await delete_log(client, "default", name)
    await other.close()
    await client.close()
