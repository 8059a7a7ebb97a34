"""The stream of all log records of a workspace: made, appended to, read by pages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from thalweg.bus import errors
from thalweg.bus.connection import is_clustered, request_json
from thalweg.bus.heads import read_last_of_each
from thalweg.bus.streams import call, create_stream
from thalweg.errors import RejectedError, UnreachableError
from thalweg.wire import subjects
from thalweg.wire.log_record import DROPPED_HEADER

PUBLISH_TIMEOUT_S, READ_TIMEOUT_S = 5.0, 5.0
MAX_PAGE_BYTES = 4 << 20


class NoLogStreamError(Exception):
    """The stream is not there."""


@dataclass(frozen=True, slots=True)
class Line:
    """One record as stored.

    Attributes:
        sequence: on the stream.
        time_ns: when it was stored.
    """

    sequence: int
    subject: str
    time_ns: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """Some records in order; `left` is how many follow them."""

    lines: list[Line]
    left: int


async def ensure_log_stream(client: Client, workspace: str, max_age_s: float, max_bytes: int, *, change: bool = False) -> None:
    """Makes the stream where there is none.

    Args:
        client, workspace: whose.
        max_age_s, max_bytes: what is older, or more than that, is removed, the oldest first.
        change: gives a stream that is there these limits.

    Raises:
        RejectedError: `log.refused`, the server does not make it.
    """
    name = subjects.logs_stream(workspace)
    config: dict[str, Any] = {
        "name": name,
        "subjects": [subjects.all_logs(workspace)],
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_age": int(max_age_s * 1e9),
        "max_bytes": max_bytes,
        "allow_direct": True,
    }
    if not is_clustered(client):
        # A record is not worth a disk sync, which commits would wait behind: a server that is killed may lose the last ones. For replicated
        # streams there is no such mode, and a stream cannot be given another one later.
        config["persist_mode"] = "async"
    await create_stream(client, config)
    if change:
        await _change_limits(client, name, config)


async def _change_limits(client: Client, name: str, wanted: dict[str, Any]) -> None:
    limits = {one: wanted[one] for one in ("max_age", "max_bytes")}
    found = (await call(client, f"STREAM.INFO.{name}", {})).get("config")
    if found is None or all(found.get(one) == value for one, value in limits.items()):
        return
    limits["duplicate_window"] = min(found.get("duplicate_window", 0), wanted["max_age"])  # a server wants it to be no longer
    answer = await call(client, f"STREAM.UPDATE.{name}", {**found, **limits})
    if "error" in answer:
        raise RejectedError(f"stream {name} cannot be changed: {answer['error'].get('description')}", code="log.refused")


async def publish_records(client: Client, subject: str, writer: str, records: list[tuple[int, bytes]], dropped: int = 0) -> None:
    """Appends records; all are stored when it returns. Records that are sent again within two minutes are stored once.

    Args:
        client, subject: where.
        writer: name of this process, unlike any other's.
        records: number in this process, and body.
        dropped: how many this process has dropped so far.

    Raises:
        NoLogStreamError: the stream is not there.
        RejectedError: `log.refused`, the server does not take them.
        UnreachableError: no reply came.
    """
    told = {DROPPED_HEADER: str(dropped)} if dropped else {}
    *first, last = [({"Nats-Msg-Id": f"{writer}-{number}", **told}, body) for number, body in records]
    try:
        for headers, body in first:
            await client.publish(subject, body, headers=headers)
        reply = await client.request(subject, last[1], timeout=PUBLISH_TIMEOUT_S, headers=last[0])
    except NoRespondersError as error:
        raise NoLogStreamError from error
    except (NatsError, OSError, TimeoutError) as error:
        raise UnreachableError(f"JetStream does not answer: {type(error).__name__}", code="nats.unreachable") from error
    answer = json.loads(reply.data)
    if "error" in answer:
        raise RejectedError(f"a log record is refused: {answer['error'].get('description')}", code="log.refused")


async def last_sequence(client: Client, workspace: str) -> int:
    """Of the stream, 0 where there is none.

    Raises:
        UnreachableError, nats.errors.Error, OSError, TimeoutError: the server is away.
    """
    name = subjects.logs_stream(workspace)
    answer = await request_json(client, f"$JS.API.STREAM.INFO.{name}")
    if "error" not in answer:
        return int(answer["state"]["last_seq"])
    if answer["error"].get("err_code") == errors.STREAM_NOT_FOUND:
        return 0
    raise UnreachableError(f"{name}: {answer['error'].get('description')}", code="nats.unreachable")


async def stored_bytes(client: Client, workspace: str) -> int:
    """What all records take; 0 where there is no stream. Raises as `last_sequence`, but for `UnreachableError`."""
    answer = await request_json(client, f"$JS.API.STREAM.INFO.{subjects.logs_stream(workspace)}")
    return int(answer.get("state", {}).get("bytes", 0))


async def dropped_records(client: Client, workspace: str) -> dict[tuple[str, str], int]:
    """How many records the newest process of each vertex says that it has dropped, by (deployment, vertex); raises as `read_heads`."""
    heads = await read_last_of_each(client, subjects.logs_stream(workspace), subjects.all_logs(workspace))
    found = {place: head.headers.get(DROPPED_HEADER, "0") for head in heads if (place := subjects.parse_log(head.subject)) is not None}
    return {place: int(text) for place, text in found.items() if text.isdecimal() and len(text) < 16}


async def read_page(client: Client, workspace: str, subject: str, start: int, count: int, since: datetime | None = None) -> Page:
    """Up to `count` records of a subject or wildcard, from a sequence or a time on (NATS ADR-31); none where there is no stream.

    Nothing is kept open on the server, so that one who follows needs no care when it restarts. Any server of a cluster may answer; one that
    lags behind gives less, which the next page has.

    Raises:
        nats.errors.Error, OSError, TimeoutError: the server is away.
    """
    begin: dict[str, Any] = {"seq": max(start, 1)} if since is None else {"start_time": since.isoformat().replace("+00:00", "Z")}
    query = {**begin, "next_by_subj": subject, "batch": count, "max_bytes": MAX_PAGE_BYTES}
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    try:
        await client.publish(f"$JS.API.DIRECT.GET.{subjects.logs_stream(workspace)}", json.dumps(query).encode(), reply=inbox)
        lines: list[Line] = []
        while True:
            message = await subscription.next_msg(timeout=READ_TIMEOUT_S)
            headers = message.headers or {}
            if headers.get("Status") == "503":
                raise NoRespondersError
            if "Status" in headers:
                return Page(lines, int(headers.get("Nats-Num-Pending", 0)))
            lines.append(_line(message))
    finally:
        await subscription.unsubscribe()


def _line(message: Msg) -> Line:
    headers = message.headers or {}
    at = datetime.fromisoformat(headers["Nats-Time-Stamp"].replace("Z", "+00:00"))
    return Line(int(headers["Nats-Sequence"]), headers["Nats-Subject"], int(at.timestamp() * 1e6) * 1000, message.data)
