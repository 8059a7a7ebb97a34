"""Lets the streams of a workspace have as many replicas as the settings say now."""

from __future__ import annotations

from thalweg.bus.connection import Client, replicas_of
from thalweg.bus.deployments import list_deployments, load_deployment
from thalweg.bus.streams import match_replicas
from thalweg.errors import RejectedError
from thalweg.wire import subjects


async def match_all(client: Client, workspace: str) -> list[str]:
    """Changes the buckets, the operation logs and the log records; what stays otherwise, as lines.

    The log of a deployment stays as its spec says, which its evidence repeats: another one is had by deploying it again.

    Raises:
        UnreachableError: `nats.unreachable`.
    """
    streams = [subjects.logs_stream(workspace), subjects.operations_stream(workspace)]
    streams += [f"KV_{subjects.bucket(workspace, kind)}" for kind in subjects.BUCKETS]
    lines = [line for name in streams if (line := await match_replicas(client, name)) is not None]
    for name in await list_deployments(client, workspace):
        try:
            has = (await load_deployment(client, workspace, name)).replicas
        except RejectedError:
            continue  # it is gone
        if has != replicas_of(client):
            lines.append(f"the log of deployment {name} has {has} replicas, and not {replicas_of(client)}: deployed again, it has them")
    return lines
