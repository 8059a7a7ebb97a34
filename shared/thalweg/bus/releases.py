"""Release records as stored in JetStream: a key-value bucket with a key for each `name@version`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from nats.aio.client import Client
from nats.errors import Error as NatsError

from thalweg.bus import errors
from thalweg.bus.deployments import create_stream
from thalweg.bus.heads import get_message
from thalweg.bus.operation_logs import StaleReadError
from thalweg.errors import RejectedError, UnreachableError
from thalweg.wire import subjects


async def ensure_releases(client: Client, workspace: str) -> None:
    """Makes the bucket where there is none. What was published cannot be deleted, only replaced."""
    bucket = subjects.releases_bucket(workspace)
    await create_stream(
        client,
        {
            "name": f"KV_{bucket}",
            "subjects": [f"$KV.{bucket}.>"],
            "max_msgs_per_subject": 1,
            "discard": "new",
            "allow_rollup_hdrs": True,
            "allow_direct": True,
            "storage": "file",
            "deny_delete": True,
        },
    )


async def write_release(client: Client, workspace: str, full_name: str, body: bytes, after: int) -> int:
    """Writes a record; its position.

    Args:
        client, workspace: whose.
        full_name: `name@version`.
        body: the record.
        after: position of the record that it replaces, 0 for a new one.

    Raises:
        StaleReadError: somebody has written it since.
        RejectedError: `release.refused`, when the server does not take it.
        UnreachableError: no reply came; the bucket must be read to know.
    """
    headers = {"Nats-Expected-Last-Subject-Sequence": str(after)}
    try:
        reply = await client.request(subjects.release(workspace, full_name), body, timeout=10, headers=headers)
    except (NatsError, TimeoutError) as error:
        raise UnreachableError(f"JetStream does not answer: {type(error).__name__}", code="nats.unreachable") from error
    answer = json.loads(reply.data)
    if "error" not in answer:
        return int(answer["seq"])
    if answer["error"].get("err_code") in (errors.WRONG_LAST_SEQUENCE, errors.WRONG_LAST_SEQUENCE_CONSTANT):
        raise StaleReadError
    raise RejectedError(f"{full_name} cannot be stored: {answer['error'].get('description')}", code="release.refused")


async def read_releases(client: Client, workspace: str, after: int) -> AsyncIterator[tuple[int, bytes]]:
    """The records that were written behind a position, with the position of each."""
    bucket = subjects.releases_bucket(workspace)
    query = {"seq": after + 1, "next_by_subj": f"$KV.{bucket}.>"}
    while (found := await get_message(client, f"KV_{bucket}", query)) is not None:
        yield found.sequence, found.data
        query = {**query, "seq": found.sequence + 1}
