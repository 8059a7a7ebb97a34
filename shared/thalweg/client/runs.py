"""Follows a deployment to its end by the heads of its log alone, and collects what it left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from thalweg.bus.connection import Client, NatsError
from thalweg.bus.dead_letters import read_letters
from thalweg.bus.heads import latest_commits, read_heads
from thalweg.bus.streams import call
from thalweg.bus.watch import LogWatch
from thalweg.errors import RunFailedError, UnreachableError
from thalweg.wire import subjects
from thalweg.wire.commit import Commit
from thalweg.wire.spec import DeploymentSpec

POLL_S = 0.1
Heads = dict[str, Commit]


async def read_commits(client: Client, spec: DeploymentSpec) -> Heads:
    """The newest commit of every vertex that has written."""
    return latest_commits(await read_heads(client, spec.workspace, spec.name))


async def follow(client: Client, spec: DeploymentSpec, on_progress: Callable[[Heads], None]) -> Heads:
    """Waits until every vertex has ended; calls `on_progress` a few times a second.

    Raises:
        RunFailedError: a vertex has failed, the message is its own; or the log was removed (`log.gone`).
    """
    watch = LogWatch(client, spec.workspace, spec.name)
    while True:
        try:
            look = await watch.look()
        except (UnreachableError, NatsError, OSError, TimeoutError):
            await asyncio.sleep(POLL_S)
            continue
        if look is None:
            raise RunFailedError(f"deployment {spec.name} was removed", code="log.gone")
        commits = latest_commits(look.heads)
        on_progress(commits)
        for commit in commits.values():
            if commit.failure is not None:
                raise RunFailedError(commit.failure.message, code=commit.failure.code, hint=commit.failure.hint)
        if len(commits) == len(spec.vertices) and all(commit.ended for commit in commits.values()):
            return commits
        await asyncio.sleep(POLL_S)


async def dead_letters(client: Client, spec: DeploymentSpec, limit: int = 20) -> list[dict[str, Any]]:
    """The first dead letters of every vertex: `vertex`, `where`, `error`."""
    found: list[dict[str, Any]] = []
    for vertex in spec.vertices:
        async for one in read_letters(client, spec, vertex.name):
            found += [{"vertex": vertex.name, "where": letter.where, "error": letter.error} for letter in one.letters]
            if len(found) >= limit:
                return found[:limit]
    return found


async def wait_for_log(client: Client, spec: DeploymentSpec, deadline_s: float = 30.0) -> None:
    """Waits until the deployment's log exists.

    Raises:
        RunFailedError: `coordinator.silent`, when no coordinator makes it in time.
    """
    end = asyncio.get_running_loop().time() + deadline_s
    while "error" in await call(client, f"STREAM.INFO.{subjects.stream(spec.workspace, spec.name)}", {}):
        if asyncio.get_running_loop().time() > end:
            raise RunFailedError("no coordinator took the deployment up", code="coordinator.silent")
        await asyncio.sleep(0.05)
