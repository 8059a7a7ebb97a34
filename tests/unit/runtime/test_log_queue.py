"""Log records wait without blocking anybody; what is too much is dropped, counted and said."""

from __future__ import annotations

import logging
import threading
import time

import msgspec

from thalweg.runtime.log_queue import BURST, MAX_BYTES, MAX_RECORDS, RATE_PER_S, LogQueue
from thalweg.wire.log_record import LogRecord


class Clock:
    """Stands still but for what is added."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def record(message: str, dropped: int = 0) -> LogRecord:
    return LogRecord(time_ns=1, level="info", logger="l", message=message, deployment="d", vertex="v", dropped=dropped)


def a_queue(clock: Clock) -> LogQueue:
    return LogQueue(lambda count: record(f"{count} dropped", count), clock)


def taken(queue: LogQueue) -> list[LogRecord]:
    return [msgspec.json.decode(one.body, type=LogRecord) for one in queue.take(10**6)]


def put(queue: LogQueue, count: int, level: int = logging.INFO, message: str = "m") -> None:
    for _ in range(count):
        queue.put(level, lambda: record(message))


def test_records_come_out_in_order_with_numbers_that_count_up() -> None:
    queue = a_queue(Clock())
    for text in "abc":
        queue.put(logging.INFO, lambda text=text: record(text))  # type: ignore[misc]
    assert [one.number for one in queue.take(2)] == [1, 2]
    assert [one.message for one in taken(queue)] == ["c"] and taken(queue) == []


def test_a_burst_is_bounded_and_what_was_dropped_is_said_once() -> None:
    clock = Clock()
    queue = a_queue(clock)
    put(queue, BURST + 7)
    *kept, last = taken(queue)
    assert len(kept) == BURST and (last.message, last.dropped) == ("7 dropped", 7) and queue.dropped == 7
    assert taken(queue) == []
    clock.now += 0.5
    put(queue, BURST)
    *kept, last = taken(queue)
    assert len(kept) == RATE_PER_S * 0.5 and last.dropped == BURST - len(kept) and queue.dropped == 7 + last.dropped


def test_a_flood_of_lines_leaves_room_for_errors() -> None:
    queue = a_queue(Clock())
    put(queue, 2 * BURST)
    put(queue, 1, logging.ERROR, "the reason")
    assert "the reason" in [one.message for one in taken(queue)]


def test_records_that_nobody_fetches_are_bounded_in_number_and_size() -> None:
    clock = Clock()
    queue = a_queue(clock)
    for _ in range(2 * MAX_RECORDS // BURST):
        put(queue, BURST)
        clock.now += BURST / RATE_PER_S
    assert len(taken(queue)) == MAX_RECORDS + 1
    for _ in range(2):
        clock.now += BURST / RATE_PER_S
        put(queue, BURST, message="x" * 8000)
    size = sum(len(one.body) for one in queue.take(10**6))
    assert MAX_BYTES < size < MAX_BYTES + 20_000


def test_a_dropped_record_is_not_even_made() -> None:
    queue = a_queue(Clock())
    put(queue, BURST)
    queue.put(logging.INFO, lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    assert queue.dropped == 1


def test_whoever_sends_is_woken_when_the_first_record_comes() -> None:
    queue, woken = a_queue(Clock()), list[int]()
    queue.on_put = lambda: woken.append(1)
    put(queue, 3)
    assert len(woken) == 1
    queue.take(10)
    put(queue, 1)
    assert len(woken) == 2


def test_threads_lose_no_record_and_share_no_number() -> None:
    queue, seen = LogQueue(lambda count: record("dropped", count)), list[int]()
    threads = [threading.Thread(target=put, args=(queue, 200)) for _ in range(4)]
    for one in threads:
        one.start()
    deadline = time.monotonic() + 20
    while len(seen) < 800 and time.monotonic() < deadline:
        seen += [one.number for one in queue.take(50)]
    for one in threads:
        one.join()
    assert sorted(seen) == list(range(1, 801))
