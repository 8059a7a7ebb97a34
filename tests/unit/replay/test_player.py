"""When a recorded message is played: at the speed of the run or another one, paused, stepped, sought."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from thalweg.errors import UsageError
from thalweg.replay.format import Entry
from thalweg.replay.player import Order, Player, parse_order, parse_speed

MS = 1_000_000
ENTRIES = [Entry("s", number, number * 40 * MS, b"{}", b"") for number in range(1, 7)]


def _entries(start: int) -> Iterator[Entry]:
    return (one for one in ENTRIES if one.time_ns >= start)


def _player(send: Callable[[Entry], Awaitable[None]], speed: float, from_ns: int = 0, to_ns: int | None = None) -> Player:
    return Player(_entries, send, speed, from_ns, to_ns, time.monotonic)


async def test_messages_come_as_far_apart_as_they_were_or_in_a_part_of_that() -> None:
    at: list[float] = []

    async def send(entry: Entry) -> None:
        at.append(time.monotonic())

    await _player(send, 2.0).play()
    assert len(at) == 6 and at[-1] - at[0] >= 0.1  # 200 ms at twice the speed
    at.clear()
    started = time.monotonic()
    await _player(send, 0.0).play()
    assert len(at) == 6 and time.monotonic() - started < 0.1


async def test_only_a_stretch_of_time_is_played() -> None:
    sent: list[int] = []

    async def send(entry: Entry) -> None:
        sent.append(entry.sequence)

    await _player(send, 0.0, from_ns=80 * MS, to_ns=200 * MS).play()
    assert sent == [2, 3, 4]


async def test_a_paused_player_steps_seeks_and_goes_on() -> None:
    sent: list[int] = []
    arrived = asyncio.Event()

    async def send(entry: Entry) -> None:
        sent.append(entry.sequence)
        arrived.set()

    async def until(count: int) -> None:
        async with asyncio.timeout(5):
            while len(sent) < count:
                arrived.clear()
                await arrived.wait()

    player = _player(send, 0.0)
    player.orders.put_nowait(Order("pause"))
    player.orders.put_nowait(Order("step", 2))
    playing = asyncio.ensure_future(player.play())
    await until(2)
    player.orders.put_nowait(Order("step", 1))
    await until(3)
    player.orders.put_nowait(Order("seek", 80 * MS))
    player.orders.put_nowait(Order("step", 1))
    await until(4)
    player.orders.put_nowait(Order("go"))
    await asyncio.wait_for(playing, 5)
    assert sent == [1, 2, 3, 2, 3, 4, 5, 6]


async def test_a_player_that_waits_is_ended_at_once_and_follows_another_speed() -> None:
    sent: list[int] = []

    async def send(entry: Entry) -> None:
        sent.append(entry.sequence)

    slow = _player(send, 0.001)
    slow.orders.put_nowait(Order("step", 1))
    playing = asyncio.ensure_future(slow.play())
    slow.orders.put_nowait(Order("speed", 0.0))
    slow.orders.put_nowait(Order("go"))
    await asyncio.wait_for(playing, 5)
    assert sent == [1, 2, 3, 4, 5, 6]
    ended = _player(send, 0.001)
    playing = asyncio.ensure_future(ended.play())
    ended.orders.put_nowait(Order("end"))
    await asyncio.wait_for(playing, 5)
    assert len(sent) <= 7


def test_orders_and_speeds_are_read() -> None:
    assert [parse_speed(one) for one in ("1", "10x", "0.5", "max")] == [1.0, 10.0, 0.5, 0.0]
    assert parse_order(" step 3\n", int) == Order("step", 3) and parse_order("step", int) == Order("step", 1)
    assert parse_order("seek 7", int) == Order("seek", 7) and parse_order("speed max", int) == Order("speed", 0.0)
    for text in ("", "stop", "go now", "step -1", "seek"):
        with pytest.raises(UsageError):
            parse_order(text, int)
    for text in ("0", "-1", "fast", "nan", "inf"):
        with pytest.raises(UsageError):
            parse_speed(text)
