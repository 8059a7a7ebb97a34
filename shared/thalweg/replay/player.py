"""Plays a replay: which message is due when, and what pausing, stepping and seeking do; knows no server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from thalweg.errors import UsageError
from thalweg.replay.format import Entry

Clock = Callable[[], float]
"""Seconds, from anywhere."""


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants of a player.

    Attributes:
        verb: `pause`, `go`, `step`, `seek`, `speed` or `end`.
        number: how many messages to step; when to seek, UTC ns; the factor of the speed, 0 for as fast as possible.
    """

    verb: str
    number: float = 0.0


class Player:
    """Sends messages in the order of the log.

    Args:
        entries: messages that were stored at a time (UTC ns) or later.
        send: sends one; takes as long as it takes.
        speed: times as fast as they were stored; 0: as fast as possible.
        from_ns, to_ns: when they were stored; the one at `to_ns` is not played.
        clock: seconds that pass.

    Attributes:
        orders: is listened to all the time.
    """

    def __init__(
        self,
        entries: Callable[[int], Iterator[Entry]],
        send: Callable[[Entry], Awaitable[None]],
        speed: float,
        from_ns: int,
        to_ns: int | None,
        clock: Clock,
    ) -> None:
        self._entries, self._send, self._clock = entries, send, clock
        self._speed, self._to_ns = speed, to_ns
        self.orders: asyncio.Queue[Order] = asyncio.Queue()
        self._is_paused, self._steps, self._is_ended = False, 0, False
        self._seek: int | None = from_ns
        self._anchor: tuple[float, int] | None = None  # this moment of the clock belongs to that one of the replay

    async def play(self) -> None:
        """Plays to the end."""
        while self._seek is not None and not self._is_ended:
            start, self._seek, self._anchor = self._seek, None, None
            for entry in self._entries(start):
                if self._to_ns is not None and entry.time_ns >= self._to_ns:
                    break
                await self._wait(entry)
                if self._seek is not None or self._is_ended:
                    break
                await self._send(entry)
                self._steps = max(0, self._steps - 1)

    async def _wait(self, entry: Entry) -> None:
        """Until a message is due, or is not to be played at all."""
        while not self.orders.empty():
            self._obey(self.orders.get_nowait())
        while self._seek is None and not self._is_ended:
            if self._is_paused:
                if self._steps:
                    return
                self._obey(await self.orders.get())
                continue
            left_s = self._left_s(entry)
            if left_s <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    self._obey(await self.orders.get())

    def _left_s(self, entry: Entry) -> float:
        if not self._speed:
            return 0.0
        if self._anchor is None:
            self._anchor = self._clock(), entry.time_ns
        began_s, from_ns = self._anchor
        return began_s + (entry.time_ns - from_ns) / 1e9 / self._speed - self._clock()

    def _obey(self, order: Order) -> None:
        match order.verb:
            case "pause":
                self._is_paused = True
            case "go":
                self._is_paused, self._steps = False, 0
            case "step":
                self._is_paused, self._steps = True, int(order.number)
            case "seek":
                self._seek = int(order.number)
            case "speed":
                self._speed = order.number
            case _:
                self._is_ended = True
        self._anchor = None  # what follows is due from here on


def parse_speed(text: str) -> float:
    """Times as fast; 0 for `max`. Raises UsageError: `speed.invalid`."""
    try:
        speed = 0.0 if text == "max" else float(text.removesuffix("x"))
    except ValueError:
        speed = -1.0
    if text != "max" and not 0.001 <= speed <= 1e6:
        raise UsageError(f"{text!r} is no speed", code="speed.invalid", hint="as in 1, 0.5, 10x or max")
    return speed


def parse_order(line: str, parse_time: Callable[[str], int]) -> Order:
    """`pause`, `go`, `step [N]`, `seek TIME`, `speed N` or `end`. Raises UsageError: `order.invalid` and the like."""
    verb, _, given = line.strip().partition(" ")
    given = given.strip()
    if verb in ("pause", "go", "end") and not given:
        return Order(verb)
    if verb == "step" and (not given or (given.isdecimal() and 0 < int(given) < 10**9)):
        return Order(verb, int(given or 1))
    if verb == "seek" and given:
        return Order(verb, parse_time(given))
    if verb == "speed":
        return Order(verb, parse_speed(given))
    raise UsageError(f"{line.strip()[:40]!r} is not understood", code="order.invalid", hint="pause, go, step [N], seek TIME, speed N, end")
