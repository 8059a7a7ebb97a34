"""Which requests go into one append."""

from __future__ import annotations

import asyncio
from collections import deque

from thalweg.bus.gathering import MAX_BYTES, Waiting, take
from thalweg.bus.inlets import BATCH


def _waiting(count: int, size_bytes: int = 1) -> Waiting:
    return Waiting([bytes(size_bytes)] * count, asyncio.get_running_loop().create_future())


async def test_requests_go_together_in_their_order_until_an_append_is_full() -> None:
    waiting = deque(_waiting(count) for count in (1, BATCH - 2, 2, 1))
    first, second, third, last = waiting
    assert take(waiting) == [first, second] and take(waiting) == [third, last] and not waiting
    waiting = deque([_waiting(1, MAX_BYTES // 2), _waiting(1, MAX_BYTES // 2), _waiting(1)])
    assert [len(take(waiting)), len(take(waiting))] == [2, 1]


async def test_one_that_fills_an_append_goes_alone_and_holds_nobody_up() -> None:
    waiting = deque([_waiting(BATCH), _waiting(1)])
    assert [len(take(waiting)), len(take(waiting)), len(waiting)] == [1, 1, 0]


async def test_what_nobody_waits_for_any_more_is_not_sent() -> None:
    gone, here = _waiting(1), _waiting(1)
    gone.stored.cancel()
    assert take(deque([gone, here])) == [here] and take(deque([gone])) == []
