"""Runs the steps of a source on its own thread, and does not wait for one that the source blocks."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from thalweg.runtime.engine import Engine, Turn
from thalweg.runtime.source_thread import SourceThread

COME_BACK_S = 0.5  # for a source in a call, after all that it has yielded is stored
_log = logging.getLogger("thalweg.vertex")
R = TypeVar("R")


class Waiting(Protocol):
    """What the loop has to do with a step that is out; asked on the loop's thread."""

    def is_asked_to_end(self) -> bool:
        """Whether the vertex is to stop or to drain."""

    def is_committing(self) -> bool:
        """Whether a commit is in flight."""

    def wake(self) -> None:
        """Ends `wait`."""

    async def wait(self, timeout_s: float | None) -> None:
        """Waits until something has happened, at most so long."""


class SourceSteps:
    """The steps of one source.

    Args:
        engine: of the source.
        waiting: the loop that it belongs to.
    """

    def __init__(self, engine: Engine, waiting: Waiting) -> None:
        self._engine, self._waiting, self._thread = engine, waiting, SourceThread()
        self._out: asyncio.Future[Turn] | None = None  # a step that has not come back
        self._is_hurried = self._was_slow = False

    def run(self, call: Callable[[], R]) -> Awaitable[R]:
        """Has something else run on the source's thread."""
        return self._thread.run(call)

    async def step(self) -> Turn:
        """One step. DUE also while it is still out, when what there is must not wait for the source; the next call waits on for it."""
        if self._engine.finished or self._engine.failure is not None:  # drained in the middle of a step
            return Turn.DUE
        if self._out is None:
            self._out, self._is_hurried = self._thread.run(self._engine.step), False
            self._out.add_done_callback(lambda _: self._waiting.wake())
        deadline = time.monotonic() + self._engine.limits.wait_s
        while not self._out.done():
            if self._waiting.is_asked_to_end() or (not self._is_hurried and (time.monotonic() >= deadline or self._is_overdue())):
                self._is_hurried = True
                self._engine.hurry()
                return Turn.DUE
            await self._waiting.wait(None if self._is_hurried else deadline - time.monotonic())
        turn, self._out = self._out.result(), None
        self._was_slow = turn is Turn.SLOW
        return turn

    def _is_overdue(self) -> bool:
        """Whether a slow source has left something that waited for a commit in flight, which is stored now."""
        return self._was_slow and not self._waiting.is_committing() and self._engine.needs_commit()

    async def close(self) -> None:
        """Closes the component, unless its source is in a call that does not come back: to close beside that call may crash it."""
        out = self._out
        if out is not None:
            self._engine.intake.close()
            self._engine.program.cancel()
            await asyncio.wait([out], timeout=COME_BACK_S)
            if not out.done():
                _log.info("the source is still in a call: leaving without it")
                return
        await self._thread.run(self._engine.program.close)
        if out is None:  # else `is_any_left` is to say so
            self._thread.end(COME_BACK_S)
