"""Runs a component's coroutines on an event loop of its own, on a thread of its own, so that the vertex's loop never waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class CoroutineThread:
    """One event loop for all coroutines of a component; the thread exists from the first one on."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, given: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine to its end; blocks the calling thread."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="component", daemon=True)
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(given, self._loop).result()

    def cancel(self) -> None:
        """Cancels what runs, without waiting for it; call it from any other thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(_cancel_all, self._loop)

    def close(self) -> None:
        """Ends the loop; what still runs on it is cancelled. Idempotent."""
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_cancel_others(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
