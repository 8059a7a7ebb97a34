"""The operation logs of all backends: one stream, a subject for each; appended to only by who has read it to its end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from nats.aio.client import Client
from nats.errors import Error as NatsError

from thalweg.bus import errors
from thalweg.bus.deployments import call, create_stream
from thalweg.bus.heads import get_message
from thalweg.errors import RejectedError, UnreachableError
from thalweg.wire import subjects


class StaleReadError(Exception):
    """Somebody has appended since the log was read."""


async def ensure_operation_logs(client: Client, workspace: str) -> None:
    """Makes the stream where there is none."""
    await create_stream(
        client,
        {
            "name": subjects.operations_stream(workspace),
            "subjects": [subjects.operations(workspace)],
            "storage": "file",
            "discard": "new",
            "allow_direct": True,
            "deny_delete": True,
            "deny_purge": False,
        },
    )


async def append(client: Client, workspace: str, backend: str, body: bytes, after: int) -> int:
    """Appends to a backend's log; the position of what was appended.

    Args:
        client, workspace, backend: which log.
        body: what to append.
        after: position of the last thing in the log that was read, 0 for an empty one.

    Raises:
        StaleReadError: the log has grown since.
        RejectedError: `operation.refused`, when the server does not take it.
        UnreachableError: no reply came; the log must be read to know.
    """
    headers = {"Nats-Expected-Last-Subject-Sequence": str(after)}
    try:
        reply = await client.request(subjects.operations(workspace, backend), body, timeout=10, headers=headers)
    except (NatsError, TimeoutError) as error:
        raise UnreachableError(f"JetStream does not answer: {type(error).__name__}", code="nats.unreachable") from error
    answer = json.loads(reply.data)
    if "error" not in answer:
        return int(answer["seq"])
    if answer["error"].get("err_code") in (errors.WRONG_LAST_SEQUENCE, errors.WRONG_LAST_SEQUENCE_CONSTANT):
        raise StaleReadError
    raise RejectedError(f"the operation log refuses: {answer['error'].get('description')}", code="operation.refused")


async def read_after(client: Client, workspace: str, backend: str, after: int) -> AsyncIterator[tuple[int, bytes]]:
    """What was appended to a backend's log behind a position, with the position of each."""
    stream, subject = subjects.operations_stream(workspace), subjects.operations(workspace, backend)
    while (found := await get_message(client, stream, {"seq": after + 1, "next_by_subj": subject})) is not None:
        yield found.sequence, found.data
        after = found.sequence


async def list_logs(client: Client, workspace: str) -> list[str]:
    """Names of all backends that have a log."""
    stream, prefix = subjects.operations_stream(workspace), subjects.operations(workspace, "")
    answer = await call(client, f"STREAM.INFO.{stream}", {"subjects_filter": prefix + "*"})
    return sorted(subject.removeprefix(prefix) for subject in (answer.get("state", {}).get("subjects") or {}))
