"""The thread that a source's own code runs on, so that nothing else waits while it blocks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

R = TypeVar("R")
_NAME = "thalweg-source"


class SourceThread:
    """Runs calls one after the other on one thread, which exists from the first one on.

    It is a daemon, unlike those of `asyncio.to_thread`: nothing waits for a call that never comes back. Unless it is told to end, it is
    there for as long as the process.
    """

    def __init__(self) -> None:
        self._calls = SimpleQueue[Callable[[], None] | None]()
        self._thread: threading.Thread | None = None

    def run(self, call: Callable[[], R]) -> asyncio.Future[R]:
        """Has `call` run; its result or what it raised. Cancelling what is returned does not end the call."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[R] = loop.create_future()

        def tell(result: Any, error: BaseException | None) -> None:
            if found.done():
                return
            if error is not None:
                found.set_exception(error)
            else:
                found.set_result(result)

        def answer() -> None:
            result, raised = None, None
            try:
                result = call()
            except BaseException as error:
                raised = error
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(tell, result, raised)

        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=_NAME, daemon=True)
            self._thread.start()
        self._calls.put(answer)
        return found

    def end(self, wait_s: float) -> None:
        """Ends the thread behind the calls that were given; waits at most so long for it. Blocking."""
        self._calls.put(None)
        if self._thread is not None:
            self._thread.join(wait_s)

    def _serve(self) -> None:
        while (answer := self._calls.get()) is not None:
            answer()


def is_any_left() -> bool:
    """Whether a source was interrupted in a call: then a process is to leave without ending its threads.

    The call may still be on, and come back into an interpreter that is no more: native code then ends the process by a signal. Or it has
    left a thread that waits, as `asyncio.to_thread` does, and the interpreter would wait for that one.
    """
    return any(one.name == _NAME for one in threading.enumerate())
