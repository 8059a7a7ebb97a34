"""A key-value bucket of JetStream whose keys are written only by who knows their last revision."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from nats.aio.client import Client

from thalweg.bus.fenced import TIMEOUT_S, RefusedError, StaleWriteError, publish_after
from thalweg.bus.heads import get_message
from thalweg.bus.streams import call, create_stream
from thalweg.errors import RejectedError, RunFailedError

__all__ = ["Bucket", "Item", "StaleWriteError"]
_AT_ONCE = 64  # requests in flight while all keys are read
OPERATION_HEADER = "KV-Operation"  # header of a marker in the place of a value that was deleted (ADR-8)


@dataclass(frozen=True, slots=True)
class Item:
    """A key as read: None and its revision where it was deleted, None and 0 where there never was one."""

    value: bytes | None
    revision: int


class Bucket:
    """One bucket, as any NATS client sees it; keeps the newest value of each key.

    Args:
        client: NATS connection.
        name: of the bucket.
    """

    def __init__(self, client: Client, name: str) -> None:
        self._client, self._stream, self._prefix = client, f"KV_{name}", f"$KV.{name}."

    async def ensure(self) -> None:
        """Makes the bucket where there is none."""
        await create_stream(
            self._client,
            {
                "name": self._stream,
                "subjects": [self._prefix + ">"],
                "max_msgs_per_subject": 1,
                "discard": "new",
                "allow_rollup_hdrs": True,
                "allow_direct": True,
                "storage": "file",
                "deny_delete": True,
            },
        )

    async def get(self, key: str) -> Item:
        """The newest value of a key; waits for a server that is away."""
        try:
            found = await get_message(self._client, self._stream, {"last_by_subj": self._prefix + key})
        except RunFailedError:  # there is no bucket yet
            return Item(None, 0)
        if found is None:
            return Item(None, 0)
        return Item(None if OPERATION_HEADER in found.headers else found.data, found.sequence)

    async def put(self, key: str, value: bytes, revision: int | None, timeout_s: float = TIMEOUT_S) -> int:
        """Writes a key that was last read at `revision`, 0 for a new one, None for whatever it is; its new revision.

        Raises:
            StaleWriteError: it has another revision by now.
            RejectedError: `bucket.refused`, when the server does not take it.
            UnreachableError: no reply came; the key must be read to know.
        """
        return await self._write(key, value, revision, {}, timeout_s)

    async def delete(self, key: str, revision: int) -> None:
        """Deletes a key that was last read at `revision`.

        Raises:
            StaleWriteError, RejectedError, UnreachableError: as `put`.
        """
        marker = await self._write(key, b"", revision, {OPERATION_HEADER: "DEL"}, TIMEOUT_S)
        # The marker goes too, but nothing that was written behind it.
        await call(self._client, f"STREAM.PURGE.{self._stream}", {"filter": self._prefix + key, "seq": marker + 1})

    async def keys(self, pattern: str = ">") -> list[str]:
        """Keys that match a pattern (`*` for a token, `>` for all that follow), in order; those too that are being deleted."""
        answer = await call(self._client, f"STREAM.INFO.{self._stream}", {"subjects_filter": self._prefix + pattern})
        return sorted(subject.removeprefix(self._prefix) for subject in (answer.get("state", {}).get("subjects") or {}))

    async def items(self, keys: list[str] | None = None) -> dict[str, bytes]:
        """Values of some keys, or of all; those that are gone are left out."""
        wanted, found = await self.keys() if keys is None else keys, dict[str, bytes]()
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            for key, item in zip(some, await asyncio.gather(*map(self.get, some)), strict=True):
                if item.value is not None:
                    found[key] = item.value
        return found

    async def written_after(self, position: int) -> AsyncIterator[tuple[int, bytes]]:
        """The values that were written behind a position, with the position of each."""
        query = {"seq": position + 1, "next_by_subj": self._prefix + ">"}
        while (found := await get_message(self._client, self._stream, query)) is not None:
            yield found.sequence, found.data
            query = {**query, "seq": found.sequence + 1}

    async def _write(self, key: str, value: bytes, revision: int | None, headers: dict[str, str], timeout_s: float) -> int:
        try:
            return await publish_after(self._client, self._prefix + key, value, revision, headers, timeout_s)
        except RefusedError as error:
            raise RejectedError(f"{self._stream} refuses {key}: {error}", code="bucket.refused") from error
