"""Log records that wait to be sent: bounded in number, size and rate, so that logging never blocks or slows a vertex."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from thalweg.wire.log_record import LogRecord, encode_record

MAX_RECORDS, MAX_BYTES = 4096, 4 << 20
BURST, RATE_PER_S = 1000, 100.0  # of records below `warning`, and as many from there on: a flood of the one keeps none of the other


@dataclass(frozen=True, slots=True)
class Waiting:
    """One record on its way: its number in this process, from 1, and its body."""

    number: int
    body: bytes


class Allowance:
    """How many records may pass: `burst` at once, and `rate_per_s` on average.

    Args:
        burst, rate_per_s: see above.
        now: clock time.
    """

    def __init__(self, burst: int, rate_per_s: float, now: float) -> None:
        self._burst, self._rate_per_s = float(burst), rate_per_s
        self._left, self._at = float(burst), now

    def take(self, now: float) -> bool:
        """Whether one more may pass now."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate_per_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class LogQueue:
    """Takes records from any thread, never blocks, and gives them to the one that sends them.

    What finds no room is dropped and counted. A record that says how many is made when records are next taken out.

    Args:
        say_dropped: makes that record.
        clock: seconds, as `time.monotonic`.

    Attributes:
        dropped: how many were dropped so far.
        on_put: called, on whatever thread, when the queue is not empty any more.
    """

    def __init__(self, say_dropped: Callable[[int], LogRecord], clock: Callable[[], float] = time.monotonic) -> None:
        self._say_dropped, self._clock = say_dropped, clock
        self._lock = threading.Lock()
        self._waiting: deque[Waiting] = deque()
        self._bytes = self._number = self._told = self.dropped = 0
        self._few, self._many = (Allowance(BURST, RATE_PER_S, clock()) for _ in range(2))
        self.on_put: Callable[[], None] = lambda: None

    def put(self, level: int, make: Callable[[], LogRecord]) -> None:
        """Takes a record in, or drops it.

        Args:
            level: number of Python's logging.
            make: makes it; not called for one that is dropped.
        """
        with self._lock:
            allowance = self._few if level >= 30 else self._many
            has_room = len(self._waiting) < MAX_RECORDS and self._bytes < MAX_BYTES
            if not (has_room and allowance.take(self._clock())):
                self.dropped += 1
                return
        body = encode_record(make())
        with self._lock:
            self._append(body)
            is_first = len(self._waiting) == 1
        if is_first:
            self.on_put()

    def take(self, limit: int) -> list[Waiting]:
        """Takes the oldest records out; the last of them says what was dropped, when that is news."""
        with self._lock:
            if self.dropped > self._told:
                self._append(encode_record(self._say_dropped(self.dropped - self._told)))
                self._told = self.dropped
            taken = [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]
            self._bytes -= sum(len(one.body) for one in taken)
        return taken

    def _append(self, body: bytes) -> None:
        self._number += 1
        self._bytes += len(body)
        self._waiting.append(Waiting(self._number, body))
