"""Makes consumers: by JetStream's API, or by asking a coordinator where the credentials do not allow that.

Whoever may make a consumer may have it deliver to any subject of the account. So a vertex says which messages it wants, and a
coordinator makes a consumer that is pulled from, and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from thalweg.bus.connection import reader_of, request_json
from thalweg.wire import subjects

_log = logging.getLogger("thalweg.bus")
MAX_SUBJECTS = 4096
MAX_REQUEST_BYTES = 1 << 20
_FORBIDDEN, _BAD = 403, 400


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a consumer is to give.

    Attributes:
        subjects: of the stream; wildcards may be among them.
        start: first sequence; 0 for the last message of each subject.
        headers_only: bodies are left out.
        idle_s: it is forgotten when nobody has pulled for so long.
    """

    subjects: list[str]
    start: int = 0
    headers_only: bool = False
    idle_s: float = 60.0


async def make_consumer(client: Client, stream: str, wanted: Wanted, timeout_s: float = 2.0) -> dict[str, Any]:
    """JetStream's answer: what it has made, by an unguessable `name`, or an `error`.

    Raises:
        nats.errors.Error, OSError, TimeoutError: no answer; also where a coordinator would have to be asked, and none runs.
    """
    asked = reader_of(client, stream)
    if asked is None:
        return await _make(client, stream, wanted, timeout_s)
    reply = await client.request(asked, msgspec.json.encode(wanted), timeout=timeout_s)
    answer: dict[str, Any] = msgspec.json.decode(reply.data)
    return answer


async def delete_consumer(client: Client, stream: str, name: str) -> None:
    """Lets the server forget a consumer; does not wait, and one that stays expires."""
    if client.is_connected:
        await client.publish(f"$JS.API.CONSUMER.DELETE.{stream}.{name}", b"")


async def make_for_others(client: Client, workspace: str) -> None:
    """Makes consumers for those that may not, for as long as the connection lives; several copies share the work.

    Who asks is in the subject, which the server has let them publish to: a vertex for the log of its deployment, the gateway for those of
    all deployments and for the bucket of endpoints.
    """
    making = set[asyncio.Task[None]]()

    async def answer(message: Msg) -> None:
        task = asyncio.create_task(_answer(client, workspace, message))
        making.add(task)
        task.add_done_callback(making.discard)

    await client.subscribe(subjects.reader(workspace, "*", "*"), queue="readers", cb=answer)


async def _answer(client: Client, workspace: str, message: Msg) -> None:
    stream = message.subject.split(".")[4]
    try:
        if not _is_for_readers(workspace, stream):
            answer = _refusal(_FORBIDDEN, f"{stream} is not for readers")
        elif len(message.data) > MAX_REQUEST_BYTES:
            answer = _refusal(_BAD, "the request is too large")
        else:
            answer = await _make(client, stream, _checked(message.data), 2.0)
    except msgspec.DecodeError as error:
        answer = _refusal(_BAD, f"not a request: {error}")
    except (NatsError, OSError, TimeoutError):
        return  # the one who asks will ask again
    try:
        await message.respond(msgspec.json.encode(answer))
    except (NatsError, OSError):
        _log.debug("a reader is not answered")


def _is_for_readers(workspace: str, stream: str) -> bool:
    others = (subjects.operations_stream(workspace), subjects.logs_stream(workspace))
    is_log = stream.startswith(subjects.stream(workspace, "")) and stream not in others
    return is_log or stream == f"KV_{subjects.bucket(workspace, 'endpoints')}"


def _checked(data: bytes) -> Wanted:
    wanted = msgspec.json.decode(data, type=Wanted)
    if not 0 < len(wanted.subjects) <= MAX_SUBJECTS or wanted.start < 0 or not 0 < wanted.idle_s <= 3600:
        raise msgspec.ValidationError("out of bounds")
    return wanted


async def _make(client: Client, stream: str, wanted: Wanted, timeout_s: float) -> dict[str, Any]:
    name = f"tw{os.urandom(16).hex()}"
    begin: dict[str, Any] = {"deliver_policy": "by_start_sequence", "opt_start_seq": wanted.start}
    config = {
        **(begin if wanted.start else {"deliver_policy": "last_per_subject"}),
        "name": name,
        "ack_policy": "none",
        "filter_subjects": wanted.subjects,
        "headers_only": wanted.headers_only,
        "mem_storage": True,
        "inactive_threshold": int(wanted.idle_s * 1e9),
    }
    request = {"stream_name": stream, "config": config}
    return {"name": name, **await request_json(client, f"$JS.API.CONSUMER.CREATE.{stream}.{name}", request, timeout_s)}


def _refusal(code: int, description: str) -> dict[str, Any]:
    return {"error": {"code": code, "description": description}}
