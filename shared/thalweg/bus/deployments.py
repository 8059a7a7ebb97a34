"""Deployments as stored in JetStream: a key-value bucket of specs, and the stream that is each one's log."""

from __future__ import annotations

import base64

import msgspec
from nats.aio.client import Client

from thalweg.bus import errors
from thalweg.bus.buckets import Bucket
from thalweg.bus.connection import request_json
from thalweg.bus.fenced import RefusedError, StaleWriteError, publish_after
from thalweg.bus.streams import call, create_stream
from thalweg.errors import RejectedError, UnreachableError
from thalweg.wire import subjects
from thalweg.wire.spec import DeploymentSpec

# JetStream sets `max_bytes` aside when a stream is made: 64 GiB for each log ended at sixteen deployments in 1 TB, and a smaller
# limit that is met blocks all vertices of a graph at once, those too that would make room. So a log on disk has none: it is
# bounded by its messages per subject, all logs together by the server's `max_file_store`. Memory is scarcer.
MAX_LOG_BYTES = {"file": -1, "memory": 1 << 30}


async def ensure_bucket(client: Client, workspace: str) -> None:
    """Makes the bucket of deployments where there is none."""
    await Bucket(client, subjects.deployments_bucket(workspace)).ensure()


class StaleSpecError(Exception):
    """The deployment's spec was written since it was read."""


async def store_deployment(client: Client, spec: DeploymentSpec, expected: int | None = None) -> None:
    """Writes a deployment's spec, replacing an older one; that of revision `expected` where it is given (0: none may be there).

    Raises:
        StaleSpecError: there is another one.
        RejectedError: `deployment.refused`.
        UnreachableError: `nats.unreachable`; whether it is stored is not known.
    """
    bucket = subjects.deployments_bucket(spec.workspace)
    try:
        await publish_after(client, f"$KV.{bucket}.{spec.name}", msgspec.json.encode(spec), expected)
    except StaleWriteError:
        raise StaleSpecError(spec.name) from None
    except RefusedError as error:
        raise RejectedError(f"deployment {spec.name} cannot be stored: {error}", code="deployment.refused") from error


async def load_deployment(client: Client, workspace: str, name: str) -> DeploymentSpec:
    """The stored spec; raises as `read_deployment`."""
    return (await read_deployment(client, workspace, name))[0]


async def read_deployment(client: Client, workspace: str, name: str) -> tuple[DeploymentSpec, int]:
    """The stored spec, and its revision for `store_deployment`.

    Raises:
        RejectedError: `deployment.unknown`, or `deployment.unreadable` where what is stored is no spec.
    """
    bucket = subjects.deployments_bucket(workspace)
    answer = await call(client, f"STREAM.MSG.GET.KV_{bucket}", {"last_by_subj": f"$KV.{bucket}.{name}"})
    if "error" in answer:
        raise RejectedError(f"there is no deployment {name}", code="deployment.unknown", hint="`thalweg status` shows those there are")
    try:
        return msgspec.json.decode(base64.b64decode(answer["message"]["data"]), type=DeploymentSpec), int(answer["message"]["seq"])
    except msgspec.DecodeError as error:
        raise RejectedError(f"the spec of deployment {name} cannot be read: {error}", code="deployment.unreadable") from error


async def list_deployments(client: Client, workspace: str) -> list[str]:
    """Names of all stored deployments."""
    bucket = subjects.deployments_bucket(workspace)
    prefix = f"$KV.{bucket}."
    answer = await call(client, f"STREAM.INFO.KV_{bucket}", {"subjects_filter": prefix + ">"})
    return sorted(subject.removeprefix(prefix) for subject in (answer.get("state", {}).get("subjects") or {}))


async def create_log(client: Client, spec: DeploymentSpec) -> None:
    """Makes a deployment's log where there is none."""
    await create_stream(
        client,
        {
            "name": subjects.stream(spec.workspace, spec.name),
            "subjects": [subjects.everything(spec.workspace, spec.name)],
            "storage": spec.storage,
            "retention": "limits",
            "discard": "new",
            "discard_new_per_subject": True,
            "max_msgs_per_subject": spec.max_messages_per_subject,
            "max_bytes": MAX_LOG_BYTES[spec.storage],
            "allow_direct": True,
            "allow_atomic": True,
        },
        spec.replicas,
    )


async def log_state(client: Client, workspace: str, name: str) -> tuple[str, int] | None:
    """When a deployment's log was made, as the server says it, and its last sequence; None where there is no log.

    Raises:
        UnreachableError: `nats.unreachable`, the server refuses for now.
        nats.errors.Error, OSError, TimeoutError: no answer within 2 s.
    """
    stream = subjects.stream(workspace, name)
    answer = await request_json(client, f"$JS.API.STREAM.INFO.{stream}", timeout_s=2.0)
    if "error" not in answer:
        return answer["created"], answer["state"]["last_seq"]
    if answer["error"].get("err_code") == errors.STREAM_NOT_FOUND:
        return None
    raise UnreachableError(f"{stream}: {answer['error'].get('description')}", code="nats.unreachable")


async def log_size(client: Client, workspace: str, name: str) -> tuple[int, int]:
    """Bytes and messages of a deployment's log; none where there is no log. Raises as `log_state`."""
    answer = await request_json(client, f"$JS.API.STREAM.INFO.{subjects.stream(workspace, name)}", timeout_s=2.0)
    state = answer.get("state", {})
    return int(state.get("bytes", 0)), int(state.get("messages", 0))


async def count_messages(client: Client, workspace: str, name: str) -> dict[str, int]:
    """How many messages a deployment's log holds, by subject."""
    filtered = {"subjects_filter": subjects.everything(workspace, name)}
    answer = await call(client, f"STREAM.INFO.{subjects.stream(workspace, name)}", filtered)
    return dict(answer.get("state", {}).get("subjects") or {})


async def delete_deployment(client: Client, workspace: str, name: str) -> None:
    """Removes a deployment's spec, then the notes of its capture, its holds and its log; harmless when they are gone.

    In this order: a coordinator that makes a missing log looks for the spec afterwards, and takes the log back without one.
    """
    bucket = subjects.deployments_bucket(workspace)
    await call(client, f"STREAM.PURGE.KV_{bucket}", {"filter": f"$KV.{bucket}.{name}"})
    for kind in ("captures", "holds"):
        beside = subjects.bucket(workspace, kind)
        await call(client, f"STREAM.PURGE.KV_{beside}", {"filter": f"$KV.{beside}.{name}.>"})
    await delete_log(client, workspace, name)


async def delete_log(client: Client, workspace: str, name: str) -> None:
    """Removes a deployment's log; harmless when it is gone."""
    await call(client, f"STREAM.DELETE.{subjects.stream(workspace, name)}", {})


async def purge_below(client: Client, workspace: str, deployment: str, subject: str, sequence: int) -> None:
    """Removes a subject's messages with a lower sequence than `sequence`."""
    await call(client, f"STREAM.PURGE.{subjects.stream(workspace, deployment)}", {"filter": subject, "seq": sequence})


async def purge_but_last(client: Client, workspace: str, deployment: str, subject: str, keep: int) -> None:
    """Removes a subject's messages but the last `keep`."""
    await call(client, f"STREAM.PURGE.{subjects.stream(workspace, deployment)}", {"filter": subject, "keep": keep})


async def purge_vertex(client: Client, workspace: str, deployment: str, vertex: str) -> None:
    """Removes all that a vertex has written, and what came from outside for it."""
    for prefix in subjects.all_of_vertex(workspace, deployment, vertex):
        await call(client, f"STREAM.PURGE.{subjects.stream(workspace, deployment)}", {"filter": prefix})
