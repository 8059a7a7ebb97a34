"""Key-value buckets of a workspace: get, put with the expected revision, list, delete."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass

from nats.aio.client import Client
from nats.errors import Error as NatsError

from thalweg.bus import errors
from thalweg.bus.deployments import call, create_stream
from thalweg.errors import RejectedError, UnreachableError
from thalweg.wire import subjects


class StaleError(Exception):
    """The key has another revision than was expected."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A value, and the revision to expect when it is replaced."""

    value: bytes
    revision: int


class Bucket:
    """One bucket. Constructing makes no request; every method may be repeated.

    Args:
        client: NATS connection.
        workspace, kind: which bucket, see `thalweg.wire.subjects.bucket`.
    """

    def __init__(self, client: Client, workspace: str, kind: str) -> None:
        self._client, self._bucket = client, subjects.bucket(workspace, kind)

    async def ensure(self) -> None:
        """Makes the bucket where there is none."""
        config = {"max_msgs_per_subject": 1, "discard": "new", "allow_rollup_hdrs": True, "allow_direct": True, "deny_delete": True}
        await create_stream(
            self._client, {"name": f"KV_{self._bucket}", "subjects": [f"$KV.{self._bucket}.>"], "storage": "file", **config}
        )

    async def get(self, key: str) -> Entry | None:
        """The value of a key, None where it has none."""
        answer = await call(self._client, f"STREAM.MSG.GET.KV_{self._bucket}", {"last_by_subj": f"$KV.{self._bucket}.{key}"})
        if "error" in answer:
            if answer["error"].get("err_code") in (errors.NO_MESSAGE, errors.STREAM_NOT_FOUND):
                return None
            raise UnreachableError(f"{self._bucket}: {answer['error'].get('description')}", code="nats.unreachable")
        message = answer["message"]
        return Entry(base64.b64decode(message.get("data", "")), int(message["seq"]))

    async def put(self, key: str, value: bytes, expected: int | None = None, timeout_s: float = 10.0) -> int:
        """Writes a key; its new revision.

        Args:
            key, value: what to write.
            expected: revision that it has now, 0 for none; None for any.
            timeout_s: how long to wait for the reply.

        Raises:
            StaleError: the key has another revision.
            RejectedError: `kv.refused`, the server does not take it.
            UnreachableError: no reply came; the key must be read to know.
        """
        headers = {"Nats-Expected-Last-Subject-Sequence": str(expected)} if expected is not None else None
        try:
            reply = await self._client.request(f"$KV.{self._bucket}.{key}", value, timeout=timeout_s, headers=headers)
        except (NatsError, OSError, TimeoutError) as error:
            raise UnreachableError(f"{self._bucket}: no reply: {type(error).__name__}", code="nats.unreachable") from error
        answer = json.loads(reply.data)
        if "error" not in answer:
            return int(answer["seq"])
        if answer["error"].get("err_code") in (errors.WRONG_LAST_SEQUENCE, errors.WRONG_LAST_SEQUENCE_CONSTANT):
            raise StaleError(key)
        raise RejectedError(f"{self._bucket}: {answer['error'].get('description')}", code="kv.refused")

    async def keys(self) -> list[str]:
        """All keys that have a value, sorted."""
        prefix = f"$KV.{self._bucket}."
        answer = await call(self._client, f"STREAM.INFO.KV_{self._bucket}", {"subjects_filter": prefix + ">"})
        return sorted(subject.removeprefix(prefix) for subject in (answer.get("state", {}).get("subjects") or {}))

    async def all(self) -> list[bytes]:
        """Every value, by key; a key that is removed meanwhile is left out."""
        found = await asyncio.gather(*(self.get(key) for key in await self.keys()))
        return [entry.value for entry in found if entry is not None]

    async def delete(self, key: str) -> None:
        """Removes a key with all that was ever under it; harmless when it is gone."""
        await call(self._client, f"STREAM.PURGE.KV_{self._bucket}", {"filter": f"$KV.{self._bucket}.{key}"})
