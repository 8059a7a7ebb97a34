"""SIGINT and SIGTERM of a command: the first ends it in order, the second at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

import uvloop

R = TypeVar("R")


class Interrupted(BaseException):
    """A command was asked to end. No Exception, so that nothing takes it for a fault.

    Args:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class Interrupts:
    """What a signal does; made by `interruptible`.

    Blocking code is left by `Interrupted`; asynchronous code is cancelled and then left by it. After `run`, when the command
    cleans up, a first signal changes nothing.
    """

    def __init__(self) -> None:
        self._number = 0
        self._cleans_up = False
        self._cancel: asyncio.Task[Any] | None = None

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Runs the asynchronous part of a command, once.

        Raises:
            Interrupted: a signal came.
        """

        async def cancellable() -> R:
            self._cancel = asyncio.current_task()
            return await work

        try:
            return uvloop.run(cancellable())
        except asyncio.CancelledError:
            raise Interrupted(self._number) from None
        finally:
            self._cancel, self._cleans_up = None, True

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """The handler."""
        if self._number:
            os._exit(128 + number)
        self._number = number
        if self._cancel is not None:
            self._cancel.get_loop().call_soon_threadsafe(self._cancel.cancel)
        elif not self._cleans_up:
            raise Interrupted(number)


@contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Handles signals within the block; for the main thread only."""
    interrupts = Interrupts()
    former = {number: signal.signal(number, interrupts.on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupts
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
