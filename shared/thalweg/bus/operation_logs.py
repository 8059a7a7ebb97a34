"""The operation logs of all backends: one stream, a subject for each; appended to only by who has read it to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator

from nats.aio.client import Client

from thalweg.bus.fenced import RefusedError, publish_after
from thalweg.bus.heads import get_message
from thalweg.bus.streams import call, create_stream
from thalweg.errors import RejectedError
from thalweg.wire import subjects


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
        StaleWriteError: the log has grown since.
        RejectedError: `operation.refused`, when the server does not take it.
        UnreachableError: no reply came; the log must be read to know.
    """
    try:
        return await publish_after(client, subjects.operations(workspace, backend), body, after)
    except RefusedError as error:
        raise RejectedError(f"the operation log refuses: {error}", code="operation.refused") from error


async def read_after(client: Client, workspace: str, backend: str, after: int) -> AsyncIterator[tuple[int, bytes]]:
    """What was appended to a backend's log behind a position, with the position of each."""
    stream, subject = subjects.operations_stream(workspace), subjects.operations(workspace, backend)
    while (found := await get_message(client, stream, {"seq": after + 1, "next_by_subj": subject})) is not None:
        yield found.sequence, found.data
        after = found.sequence


async def last_position(client: Client, workspace: str, backend: str) -> int:
    """Position of the last thing in a backend's log; 0 where there is no log."""
    stream, subject = subjects.operations_stream(workspace), subjects.operations(workspace, backend)
    found = await get_message(client, stream, {"last_by_subj": subject})
    return found.sequence if found is not None else 0


async def remove_log(client: Client, workspace: str, backend: str) -> None:
    """Removes a backend's whole log; harmless when it is gone."""
    stream, subject = subjects.operations_stream(workspace), subjects.operations(workspace, backend)
    await call(client, f"STREAM.PURGE.{stream}", {"filter": subject})


async def list_logs(client: Client, workspace: str) -> list[str]:
    """Names of all backends that have a log."""
    stream, prefix = subjects.operations_stream(workspace), subjects.operations(workspace, "")
    answer = await call(client, f"STREAM.INFO.{stream}", {"subjects_filter": prefix + "*"})
    return sorted(subject.removeprefix(prefix) for subject in (answer.get("state", {}).get("subjects") or {}))
