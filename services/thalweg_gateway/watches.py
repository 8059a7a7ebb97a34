"""The watches of all deployments whose answers are waited for."""

from __future__ import annotations

import asyncio
import time

from thalweg.bus.connection import Client
from thalweg.wire.spec import DeploymentSpec
from thalweg_gateway.answers import Watch


class Watches:
    """One watch for each deployment that is asked.

    Args:
        client: NATS connection.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._open: dict[tuple[str, int], asyncio.Task[Watch]] = {}

    async def of(self, spec: DeploymentSpec) -> Watch:
        """The watch of a deployment, which follows it from now on at the latest.

        Raises:
            UnreachableError: as `Watch.open`.
        """
        await self._close_idle()
        key = (spec.name, spec.deployed_ns)
        if key not in self._open:
            self._open[key] = asyncio.create_task(self._make(spec))
        opening = self._open[key]
        try:
            watch = await asyncio.shield(opening)
        finally:
            if opening.done() and (opening.cancelled() or opening.exception() is not None):
                self._open.pop(key, None)
        watch.used_at = time.monotonic()
        watch.take_spec(spec)
        return watch

    async def close(self) -> None:
        """Closes all of them."""
        for task in self._open.values():
            task.cancel()
            if task.done() and not task.cancelled() and task.exception() is None:
                await task.result().close()

    async def _make(self, spec: DeploymentSpec) -> Watch:
        watch = Watch(self._client, spec)
        await watch.open()
        return watch

    async def _close_idle(self) -> None:
        for key, task in list(self._open.items()):
            if task.done() and not task.cancelled() and task.exception() is None and task.result().is_idle:
                del self._open[key]
                await task.result().close()
