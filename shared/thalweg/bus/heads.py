"""Reads single messages of a deployment log: the last under a prefix, the last of every subject, a range by sequence."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError

from thalweg.bus.connection import request_json
from thalweg.errors import RunFailedError
from thalweg.wire import subjects
from thalweg.wire.commit import HEADER, Commit, decode_commit

NO_MESSAGE, STREAM_MISSING = 10037, 10059


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message as stored; `commit` is what its header says, None on pieces that are not the last."""

    subject: str
    sequence: int
    headers: dict[str, str]
    data: bytes
    commit: Commit | None


async def get_message(client: Client, stream: str, query: dict[str, Any]) -> StoredMessage | None:
    """`STREAM.MSG.GET` by `{"last_by_subj": …}`, `{"seq": …}` or `{"seq": …, "next_by_subj": …}`; waits for a server that is away.

    Raises:
        RunFailedError: `log.gone`, when the stream does not exist.
    """
    while True:
        try:
            answer = await request_json(client, f"$JS.API.STREAM.MSG.GET.{stream}", query, timeout_s=2.0)
        except (NatsError, OSError, TimeoutError):
            await asyncio.sleep(0.1)
            continue
        if "error" not in answer:
            return _stored(answer["message"])
        code = answer["error"].get("err_code")
        if code == NO_MESSAGE:
            return None
        if code == STREAM_MISSING:
            raise RunFailedError(f"the deployment log {stream} is gone", code="log.gone")
        await asyncio.sleep(0.1)


async def last_message(client: Client, stream: str, subject: str) -> StoredMessage | None:
    """The last message of a subject or wildcard."""
    return await get_message(client, stream, {"last_by_subj": subject})


async def read_heads(client: Client, workspace: str, deployment: str, timeout_s: float = 3.0) -> list[StoredMessage]:
    """The last message of every subject that vertices of a deployment write, by one `multi_last` direct get.

    Raises:
        nats.errors.TimeoutError: the server did not answer in time.
    """
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, pending_bytes_limit=-1, pending_msgs_limit=-1)
    query = {"multi_last": [f"tw.{workspace}.{deployment}.v.>"], "batch": 1000}
    found: list[StoredMessage] = []
    try:
        await client.publish(f"$JS.API.DIRECT.GET.{subjects.stream(workspace, deployment)}", json.dumps(query).encode(), reply=inbox)
        while True:
            message = await subscription.next_msg(timeout=timeout_s)
            headers = dict(message.headers or {})
            if headers.get("Status") == "404":
                return found
            if headers.get("Status") == "503":
                raise NatsTimeoutError
            if "Nats-Subject" not in headers:
                return found
            text = headers.get(HEADER)
            found.append(
                StoredMessage(
                    headers["Nats-Subject"], int(headers["Nats-Sequence"]), headers, message.data, decode_commit(text) if text else None
                )
            )
    finally:
        await subscription.unsubscribe()


def _stored(message: dict[str, Any]) -> StoredMessage:
    headers = _parse_headers(base64.b64decode(message["hdrs"])) if "hdrs" in message else {}
    text = headers.get(HEADER)
    return StoredMessage(
        message["subject"], message["seq"], headers, base64.b64decode(message.get("data", "")), decode_commit(text) if text else None
    )


def _parse_headers(raw: bytes) -> dict[str, str]:
    lines = raw.decode().split("\r\n")[1:]
    return {name.strip(): value.strip() for name, separator, value in (line.partition(":") for line in lines) if separator}
