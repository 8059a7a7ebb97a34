"""Which requests go into one append."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest

from thalweg.bus import gathering
from thalweg.bus.gathering import AT_ONCE, MAX_BYTES, Gathering, Waiting, take
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


async def test_a_few_go_by_themselves_and_only_those_behind_them_together(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[list[bytes]] = []
    go_on = asyncio.Event()

    async def publish(client: Any, subject: str, bodies: Sequence[bytes], key: str | None = None) -> list[int]:
        sent.append(list(bodies))
        await go_on.wait()
        return [int(body) for body in bodies]

    monkeypatch.setattr(gathering, "publish", publish)
    gate = Gathering(None)  # type: ignore[arg-type]
    asked = [asyncio.create_task(gate.publish("door", [str(number).encode()])) for number in range(AT_ONCE + 8)]
    while len(sent) <= AT_ONCE:  # noqa: ASYNC110
        await asyncio.sleep(0)
    go_on.set()
    assert [await one for one in asked] == [[number] for number in range(AT_ONCE + 8)]
    assert [len(one) for one in sent] == [1] * AT_ONCE + [8]
    assert await gate.publish("door", [b"7"]) == [7] and sent[-1] == [b"7"]
    await gate.close()
