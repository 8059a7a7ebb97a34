"""Runs something under a lease, with servers and a coordinator of its own where none are given; nothing stays but what is kept."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
import uvloop

from thalweg.api.leases import State
from thalweg.bus.connection import Client, NatsError, connect_as
from thalweg.bus.deployments import delete_deployment, ensure_bucket, load_deployment, store_deployment
from thalweg.bus.leases import Leases, held
from thalweg.embedded.leftovers import usable
from thalweg.errors import RejectedError, RunFailedError, ThalwegError, UnreachableError, UsageError
from thalweg.graph.plan import PlannedVertex
from thalweg.settings import Settings
from thalweg.wire.spec import VertexSpec
from thalweg_cli.interrupts import interruptible
from thalweg_cli.leftovers import end_killed_runs, end_processes, note_run
from thalweg_cli.output import author_of
from thalweg_cli.reach import reach
from thalweg_cli.secrets_of_run import check_stored, given_secrets
from thalweg_cli.servers import coordinator_of_run, servers_of_run

R = TypeVar("R")
POLL_S = 0.03
CLOSE_TIMEOUT_S, AWAY_TIMEOUT_S = 120.0, 2.0
LEFT_TTL_S = 3_600.0
At = Literal["commit", "roll back", "leave"]
Servers = Callable[[Settings, str, bool], AbstractContextManager[Settings]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something runs under a lease.

    Attributes:
        settings: of the servers that are there.
        client: NATS connection.
        lease: its id. A deployment has it for its name, or begins its name with it and a dash.
    """

    settings: Settings
    client: Client
    lease: str


def run_leased(
    settings: Settings,
    name: str,
    note: str,
    vertices: Sequence[PlannedVertex] | Sequence[VertexSpec],
    work: Callable[[Place], Awaitable[R]],
    *,
    at_end: At,
    keep: bool = False,
    servers: Servers = servers_of_run,
) -> R:
    """Runs `work` while its lease is renewed. Blocking; for the main thread.

    A copy that is killed leaves what its lease owns: a coordinator rolls that back when it expires, or the next copy in the data folder.

    Args:
        settings: servers to use; those that are not given are brought up.
        name: of the lease; see `Place.lease` for the deployments that `work` may make.
        note: what the lease is for.
        vertices: their secrets are made sure of first.
        work: what to do.
        at_end: what becomes of the lease's things when `work` has returned; when it has failed, they go. `leave`: the lease stays open
            for an hour more, with all it owns and its data folder.
        keep: they stay in any case, with the deployment, stopped; its data folder is left as it is.
        servers: brings them up.

    Raises:
        Interrupted: SIGINT or SIGTERM; all that was started has ended.
        UnreachableError: a server does not answer.
        RunFailedError: `lease.slow`, what was to be kept is not yet.
    """
    with interruptible() as interrupts:
        # Not by uvloop, out of which a signal's exception would not get.
        has_coordinator = settings.nats_url is not None and asyncio.run(reach(settings))
        secrets = {} if has_coordinator else given_secrets(vertices)
        killed = end_killed_runs(settings.data)
        with usable(settings.data):
            path = note_run(settings.data, name, os.getpid())
        is_closed = False
        with servers(settings, name, keep or at_end == "leave") as ready:
            mine = killed if ready.data == settings.data else []  # a run with servers of its own does not reach those of the others
            try:
                with nullcontext() if has_coordinator else coordinator_of_run(ready, name, secrets):
                    end: At = "commit" if keep else "roll back"
                    patience_s = CLOSE_TIMEOUT_S
                    try:
                        result = interrupts.run(_work(ready, name, note, vertices if has_coordinator else [], mine, work))
                        end = "commit" if keep else at_end
                    except (UnreachableError, UsageError):
                        patience_s = AWAY_TIMEOUT_S  # what cannot be reached cannot be rolled back now
                        raise
                    finally:
                        is_closed = uvloop.run(_close(ready, name, end, mine, patience_s, keep=keep))
            finally:
                if not has_coordinator:
                    end_processes(ready.data, name)
                if is_closed:
                    path.unlink(missing_ok=True)
        if not is_closed and end != "roll back":
            hint = f"`thalweg lease show {name}` tells how it stands"
            raise RunFailedError("what the run is to keep could not be kept yet", code="lease.slow", hint=hint)
        return result


async def _work(
    settings: Settings,
    name: str,
    note: str,
    vertices: Sequence[PlannedVertex] | Sequence[VertexSpec],
    killed: list[Path],
    work: Callable[[Place], Awaitable[R]],
) -> R:
    client = await connect_as(settings, "thalweg run")
    try:
        await check_stored(client, settings.workspace, vertices)
        await ensure_bucket(client, settings.workspace)
        leases = Leases(client, settings.workspace)
        await leases.ensure()
        for one in killed:
            await _end(leases, one.stem, "rolling back", "its run was killed")
        async with held(leases, await leases.open(author_of(""), note, settings.lease_ttl_s, name)):
            return await work(Place(settings, client, name))
    finally:
        await client.close()


async def _close(settings: Settings, name: str, at_end: At, killed: list[Path], patience_s: float, *, keep: bool) -> bool:
    """Ends the lease and waits for it; says whether that was possible. The run's own error matters more."""
    try:
        async with asyncio.timeout(patience_s):
            client = await connect_as(settings, "thalweg run")
            try:
                leases = Leases(client, settings.workspace)
                if at_end == "commit":
                    await (_stop if keep else delete_deployment)(client, settings.workspace, name)
                if at_end == "leave":
                    await leases.renew(name, LEFT_TTL_S)
                else:
                    await _end(leases, name, "committing" if at_end == "commit" else "rolling back", "its run has ended")
                    await _forget_ended(leases, name)
                for one in killed:
                    await _forget_ended(leases, one.stem)
                for note in killed:
                    note.unlink(missing_ok=True)
            finally:
                await client.close()
    except (ThalwegError, NatsError, OSError, TimeoutError):
        return False
    return True


async def _end(leases: Leases, name: str, state: State, reason: str) -> None:
    with suppress(RejectedError):  # it was never opened, or somebody else has ended it
        await leases.end(name, state, reason)


async def _forget_ended(leases: Leases, name: str) -> None:
    with suppress(RejectedError):
        while True:
            if (await leases.read(name)).ended_ns is not None:
                await leases.forget(name)
                return
            await asyncio.sleep(POLL_S)


async def _stop(client: Client, workspace: str, name: str) -> None:
    """Keeps a later coordinator from starting the vertices again."""
    with suppress(RejectedError):  # it was not deployed yet
        await store_deployment(client, msgspec.structs.replace(await load_deployment(client, workspace, name), desired="stopped"))
