"""The published releases of a workspace, read once and then only from where they were read to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from pydantic import ValidationError

from thalweg.api.calls import Call
from thalweg.api.components import ReleaseRecord
from thalweg.bus.buckets import Bucket, StaleWriteError
from thalweg.bus.connection import Client
from thalweg.errors import RejectedError
from thalweg.graph.pipeline import fault_lines
from thalweg.published.releases import PublishedReleases
from thalweg.wire import subjects
from thalweg_coordinator.api import Handler

TRIES = 20
Change = Callable[[ReleaseRecord | None], ReleaseRecord | None]
"""What a record is to become, out of what it is; None for no change."""


class StoredReleases:
    """Keeps the releases that validation sees at what is stored.

    Args:
        client: NATS connection.
        workspace: whose.
        view: told of every record.
        on_change: called when there were new ones.
    """

    def __init__(self, client: Client, workspace: str, view: PublishedReleases, on_change: Callable[[], None]) -> None:
        self._client, self.view, self._on_change = client, view, on_change
        self._bucket = Bucket(client, subjects.bucket(workspace, "releases"))
        self._read_to = 0
        self._positions: dict[str, int] = {}
        self._lock = asyncio.Lock()

    async def ensure(self) -> None:
        """Makes the bucket where there is none."""
        await self._bucket.ensure()

    def refreshing(self, handlers: dict[Call[Any, Any], Handler]) -> dict[Call[Any, Any], Handler]:
        """Handlers that see all that was published before they were called, by whichever coordinator."""
        return {call: self._refreshing(handler) for call, handler in handlers.items()}

    async def refresh(self) -> None:
        """Reads what is new."""
        async with self._lock:
            before = self._read_to
            async for position, body in self._bucket.written_after(self._read_to):
                record = _decode(body)
                self._positions[record.full_name] = self._read_to = position
                self.view.take(record)
            if self._read_to != before:
                self._on_change()

    async def change(self, full_name: str, change: Change) -> ReleaseRecord | None:
        """Writes what `change` makes of a record; where somebody else is faster, it is asked again. Returns what is stored.

        Raises:
            RejectedError: what `change` raises; `release.busy`, `release.too_large`.
        """
        for _ in range(TRIES):
            await self.refresh()
            now = self.view.record(full_name)
            wanted = change(now)
            if wanted is None:
                return now
            body = msgspec.msgpack.encode(wanted.model_dump(mode="json", exclude_defaults=True))
            if len(body) > (self._client.max_payload * 3) // 4:
                raise RejectedError(f"{full_name}: its manifest has {len(body):,} bytes", code="release.too_large")
            try:
                await self._bucket.put(subjects.release_key(full_name), body, self._positions.get(full_name, 0))
            except StaleWriteError:
                continue
            await self.refresh()
            return self.view.record(full_name)
        raise RejectedError(f"{full_name} is written by many at once", code="release.busy", hint="try again")

    def _refreshing(self, handler: Handler) -> Handler:
        async def handle(asked: Any) -> Any:
            await self.refresh()
            return await handler(asked)

        return handle


def _decode(body: bytes) -> ReleaseRecord:
    try:
        return ReleaseRecord.model_validate(msgspec.msgpack.decode(body))
    except (msgspec.DecodeError, ValidationError) as error:
        what = fault_lines(error)[0] if isinstance(error, ValidationError) else error
        raise RejectedError(f"the bucket of releases holds what is no record: {what}", code="release.damaged") from error
