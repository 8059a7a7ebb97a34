"""Reads single messages of a deployment log: the last under a prefix, the last of every subject, a range by sequence."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError

from thalweg.bus import errors
from thalweg.bus.connection import is_clustered, request_json
from thalweg.bus.consumers import Wanted, delete_consumer, make_consumer
from thalweg.errors import RunFailedError, UnreachableError
from thalweg.wire import subjects
from thalweg.wire.commit import HEADER, Commit, decode_commit

_SILENCES_S = (0.3, 0.6)  # in the middle of messages that are pending, until they are asked for anew; then as long as may be waited
_IDLE_S = 5.0  # of consumers that were not deleted


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message as stored.

    Attributes:
        commit: what its header says, None on pieces that are not the last.
        time_ns: when it was stored, UTC (of a single message, in whole microseconds); 0 where that was not asked for.
    """

    subject: str
    sequence: int
    headers: dict[str, str]
    data: bytes
    commit: Commit | None
    time_ns: int = 0


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
        if code == errors.NO_MESSAGE:
            return None
        if code == errors.STREAM_NOT_FOUND:
            raise RunFailedError(f"the deployment log {stream} is gone", code="log.gone")
        await asyncio.sleep(0.1)


async def last_message(client: Client, stream: str, subject: str) -> StoredMessage | None:
    """The last message of a subject or wildcard."""
    return await get_message(client, stream, {"last_by_subj": subject})


async def read_heads(client: Client, workspace: str, deployment: str, timeout_s: float = 2.0) -> list[StoredMessage]:
    """The last message of every subject that vertices of a deployment write, without bodies; raises as `read_last_of_each`."""
    return await read_last_of_each(client, subjects.stream(workspace, deployment), subjects.all_vertices(workspace, deployment), timeout_s)


async def read_last_of_each(client: Client, stream: str, wildcard: str, timeout_s: float = 2.0) -> list[StoredMessage]:
    """The last message of every subject of a stream that a wildcard covers, without bodies; none where there is no stream.

    By a short-lived consumer of headers, because a direct get of several subjects always sends bodies, and at most 1,024
    (NATS ADR-31). A message written meanwhile may take the place of its subject's older one: heads need not be of one instant.
    What was stored before the call is seen, in a cluster too, where the consumer may be on a server that lags behind.

    Raises:
        UnreachableError: `nats.unreachable`, the server refuses for now.
        nats.errors.Error, TimeoutError: the server did not answer in time.
    """
    if not is_clustered(client):
        return await _read_some(client, stream, [wildcard], timeout_s)
    end = asyncio.get_running_loop().time() + timeout_s
    while True:
        answer = await request_json(client, f"$JS.API.STREAM.INFO.{stream}", timeout_s=timeout_s)  # of the leader
        if "error" in answer:
            if answer["error"].get("err_code") == errors.STREAM_NOT_FOUND:
                return []
            raise _unread(stream, answer)
        if answer["config"]["num_replicas"] == 1:
            return await _read_some(client, stream, [wildcard], timeout_s)
        found = await _read_some(client, stream, answer["config"]["subjects"], timeout_s)
        newest = max((one.sequence for one in found), default=0)
        if newest >= answer["state"]["last_seq"] or await _is_newest(client, stream, newest, timeout_s):
            return [one for one in found if subjects.matches(wildcard, one.subject)]
        if asyncio.get_running_loop().time() > end:
            raise UnreachableError(f"the heads of {stream} cannot be read: a server lags behind", code="nats.unreachable")


async def _is_newest(client: Client, stream: str, sequence: int, timeout_s: float) -> bool:
    """Whether the leader has no later message: the very last one of the stream may have been removed."""
    async with asyncio.timeout(timeout_s):
        last = await last_message(client, stream, ">")
    return last is None or last.sequence <= sequence


async def _read_some(client: Client, stream: str, wildcards: list[str], timeout_s: float) -> list[StoredMessage]:
    for silence_s in _SILENCES_S:
        try:
            return await _read_once(client, stream, wildcards, timeout_s, min(silence_s, timeout_s))
        except _SilentError:
            continue  # what it has counted as pending was purged before it was sent
    return await _read_once(client, stream, wildcards, timeout_s, timeout_s)


class _SilentError(NatsTimeoutError):
    """A consumer that has said how much is pending sends nothing more."""


def _unread(stream: str, answer: dict[str, Any]) -> UnreachableError:
    what = f"the heads of {stream} cannot be read: {answer['error'].get('description')}"
    return UnreachableError(what, code="nats.unreachable")


async def _read_once(client: Client, stream: str, wildcards: list[str], timeout_s: float, silence_s: float) -> list[StoredMessage]:
    answer = await make_consumer(client, stream, Wanted(wildcards, headers_only=True, idle_s=_IDLE_S), timeout_s)
    if "error" in answer:
        if answer["error"].get("err_code") == errors.STREAM_NOT_FOUND:
            return []
        raise _unread(stream, answer)
    name, count = answer["name"], answer["num_pending"] + answer["delivered"]["consumer_seq"]
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, pending_bytes_limit=-1, pending_msgs_limit=-1)
    try:
        if count:
            await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}", b'{"batch":%d,"no_wait":true}' % count, reply=inbox)
        return await _collect(subscription, count, silence_s)
    finally:
        await subscription.unsubscribe()
        await delete_consumer(client, stream, name)


async def read_time(client: Client, stream: str, subject: str, sequence: int, timeout_s: float = 2.0) -> int | None:
    """When the first message of a subject from a sequence on was stored, UTC ns; None where there is none.

    By a consumer of headers too: a direct get would send the body, which may have megabytes.

    Raises:
        nats.errors.Error, TimeoutError: the server did not answer in time.
    """
    wanted = Wanted([subject], max(sequence, 1), headers_only=True, idle_s=_IDLE_S)
    answer = await make_consumer(client, stream, wanted, timeout_s)
    if "error" in answer or not answer["num_pending"]:
        return None
    name, inbox = answer["name"], client.new_inbox()
    # Not by `request`, which knows a reply by its subject: that of a message is the one that it was stored under.
    subscription = await client.subscribe(inbox)
    try:
        await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}", b'{"batch":1,"no_wait":true}', reply=inbox)
        message = await subscription.next_msg(timeout=timeout_s)
        return None if "Status" in (message.headers or {}) else _place(message.reply)[1]
    finally:
        await subscription.unsubscribe()
        await delete_consumer(client, stream, name)


def _place(reply: str) -> tuple[int, int, str]:
    """(sequence on the stream, UTC ns at which it was stored, how many are pending) of a message that a consumer has sent (ADR-15)."""
    tokens = reply.split(".")
    return (int(tokens[5]), int(tokens[7]), tokens[8]) if len(tokens) == 9 else (int(tokens[7]), int(tokens[9]), tokens[10])


async def _collect(subscription: Subscription, count: int, silence_s: float) -> list[StoredMessage]:
    """The newest message of each subject, of at least `count` that the consumer has counted.

    Fewer are read anew. What it counts down is wrong when older messages of a subject are removed meanwhile, as trimming does: nats-server
    2.15 takes them off though it never counted them, and the last heads would be left out.
    """
    found: dict[str, StoredMessage] = {}
    for number in range(1, count + 1):
        try:
            message = await subscription.next_msg(timeout=silence_s)
        except NatsTimeoutError as error:
            raise _SilentError from error
        headers = message.headers or {}
        if "Status" in headers and not message.reply:
            raise _SilentError  # some of what it has counted was purged
        sequence, time_ns, pending = _place(message.reply)
        text = headers.get(HEADER)
        found[message.subject] = StoredMessage(message.subject, sequence, headers, b"", decode_commit(text) if text else None, time_ns)
        if pending == "0" and number < count:
            raise _SilentError
    return list(found.values())


def latest_commits(heads: list[StoredMessage]) -> dict[str, Commit]:
    """The newest commit of each vertex among the last messages of its subjects."""
    found: dict[str, Commit] = {}
    for head in heads:
        place = subjects.parse_port(head.subject)
        if place is not None and head.commit is not None and (place[0] not in found or head.commit.number > found[place[0]].number):
            found[place[0]] = head.commit
    return found


def _stored(message: dict[str, Any]) -> StoredMessage:
    headers = _parse_headers(base64.b64decode(message["hdrs"])) if "hdrs" in message else {}
    text = headers.get(HEADER)
    time_ns = int(datetime.fromisoformat(message["time"]).timestamp() * 1e6) * 1000
    data = base64.b64decode(message.get("data", ""))
    return StoredMessage(message["subject"], message["seq"], headers, data, decode_commit(text) if text else None, time_ns)


def _parse_headers(raw: bytes) -> dict[str, str]:
    lines = raw.decode().split("\r\n")[1:]
    return {name.strip(): value.strip() for name, separator, value in (line.partition(":") for line in lines) if separator}
