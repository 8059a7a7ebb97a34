"""What a live source holds until it can give it on, and what becomes of the rest."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, Literal, TypeVar

T = TypeVar("T")
WhenFull = Literal["block", "drop-oldest", "drop-newest"]


class LiveQueue(Generic[T]):
    """A bounded queue between the thread that hears the outside and the source's own.

    Args:
        size: of what it holds.
        when_full: `block` holds the outside up, the others let go of what has waited longest, or of what comes.
    """

    def __init__(self, size: int, when_full: WhenFull) -> None:
        self._size, self._when_full = size, when_full
        self._held = deque[T]()
        self._changed = threading.Condition()
        self._dropped, self._is_over = 0, False
        self._error: Exception | None = None

    def put(self, item: T) -> None:
        """Adds one; blocks where it is full and blocks. Nothing after the end."""
        with self._changed:
            if self._when_full == "block":
                self._changed.wait_for(lambda: self._is_over or len(self._held) < self._size)
            if self._is_over:
                return
            if len(self._held) >= self._size:
                self._dropped += 1
                if self._when_full == "drop-newest":
                    return
                self._held.popleft()
            self._held.append(item)
            self._changed.notify_all()

    def take(self) -> T | None:
        """The next one; waits for it. None at the end.

        Raises:
            Exception: what it was ended with.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._held or self._is_over)
            if self._held:
                item = self._held.popleft()
                self._changed.notify_all()
                return item
            if self._error is not None:
                raise self._error
            return None

    def take_dropped(self) -> int:
        """How many were let go of since this was last asked."""
        with self._changed:
            dropped, self._dropped = self._dropped, 0
            return dropped

    def end(self, error: Exception | None = None) -> None:
        """Nothing comes any more; what is held can be taken still. Idempotent."""
        with self._changed:
            if not self._is_over:
                self._is_over, self._error = True, error
            self._changed.notify_all()
