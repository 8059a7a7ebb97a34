"""Looks at a deployment log as it was at an earlier position."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError

from thalweg.bus.heads import StoredMessage, get_message
from thalweg.errors import RejectedError, UnreachableError
from thalweg.wire import subjects
from thalweg.wire.commit import CHUNK_HEADER, HEADER, Commit, decode_commit

TIMEOUT_S = 10.0


async def heads_before(client: Client, workspace: str, deployment: str, vertex: str, position: int) -> list[StoredMessage]:
    """What was the last message of every subject of a vertex before a sequence, of those that are still there, without bodies.

    Source: NATS ADR-31, `multi_last` with `up_to_seq`.

    Raises:
        UnreachableError: `nats.unreachable`.
        RejectedError: `log.refused`.
    """
    if position <= 1:  # to the server, 0 is no bound
        return []
    stream, prefix = subjects.stream(workspace, deployment), subjects.vertex_prefix(workspace, deployment, vertex)
    found = await _many(client, stream, {"multi_last": [prefix], "up_to_seq": position - 1})
    # Any server of a cluster may have answered, and one that lags behind has less: the leader knows of the next one.
    newest = max((one.sequence for one in found), default=0)
    later = await get_message(client, stream, {"seq": newest + 1, "next_by_subj": prefix})
    if later is not None and later.sequence < position:
        raise UnreachableError(f"{stream} cannot be read as it was: a server lags behind", code="nats.unreachable", hint="try again")
    return found


async def first_at(client: Client, workspace: str, deployment: str, time_ns: int) -> int | None:
    """Sequence of the first message that the server stored at a time or later; None where there is none; waits for a server that is away.

    Raises:
        RunFailedError: `log.gone`.
    """
    query = {"start_time": _rfc3339(time_ns), "next_by_subj": subjects.everything(workspace, deployment)}
    found = await get_message(client, subjects.stream(workspace, deployment), query)
    return found.sequence if found is not None else None


async def first_commit(client: Client, stream: str, subject: str, begin: int = 1) -> StoredMessage | None:
    """The first message of a subject or wildcard at or behind a sequence that has a commit: the last piece of a body that was cut."""
    while (found := await get_message(client, stream, {"seq": begin, "next_by_subj": subject})) is not None and found.commit is None:
        begin = found.sequence + 1
    return found


async def first_whole(client: Client, stream: str, subject: str, begin: int = 1) -> StoredMessage | None:
    """The first message of a subject at or behind a sequence, the last piece of one that was cut; what comes from outside has no commit."""
    found = await get_message(client, stream, {"seq": begin, "next_by_subj": subject})
    if found is None or found.commit is not None or CHUNK_HEADER not in found.headers:
        return found
    return await first_commit(client, stream, subject, found.sequence + 1)


async def is_whole(client: Client, stream: str, subject: str) -> bool:
    """Whether nothing of what a vertex wrote to a subject was trimmed."""
    first = await first_whole(client, stream, subject)
    return first is None or (first.commit is not None and is_first(first.commit))


def is_first(commit: Commit) -> bool:
    """Whether a commit is the first of its vertex that has any records: each claim raises both numbers by one."""
    return commit.number - commit.epoch <= 1


async def _many(client: Client, stream: str, query: dict[str, Any]) -> list[StoredMessage]:
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, pending_bytes_limit=-1, pending_msgs_limit=-1)
    found: list[StoredMessage] = []
    try:
        await client.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(query).encode(), reply=inbox)
        while True:
            message = await subscription.next_msg(timeout=TIMEOUT_S)
            headers = message.headers or {}
            match headers.get("Status"):
                case None:
                    text = headers.get(HEADER)
                    commit = decode_commit(text) if text else None
                    found.append(StoredMessage(headers["Nats-Subject"], int(headers["Nats-Sequence"]), headers, b"", commit))
                case "204" | "404":  # the end of them, or none
                    return found
                case "503":
                    raise UnreachableError(f"{stream} cannot be read as it was: no server has it now", code="nats.unreachable")
                case status:
                    raise RejectedError(f"{stream} cannot be read as it was: {status} {headers.get('Description')}", code="log.refused")
    except (NatsError, OSError, TimeoutError) as error:
        raise UnreachableError(f"JetStream does not answer: {type(error).__name__}", code="nats.unreachable") from error
    finally:
        await subscription.unsubscribe()


def _rfc3339(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
