"""Hands batches of records to a target that may be away, until it has them."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

from thalweg import Context, Place, Receipt, RecordError, UnreachableError
from thalweg_components.backoff import Backoff


class Target(Protocol):
    """Where records are delivered to. All of it may block; it is never called twice at the same time."""

    name: str

    def open(self) -> None:
        """Connects, checks, and fences older copies out; nothing where it is open.

        Raises:
            UnreachableError: not now.
            RejectedError: never, as it is.
        """

    def write(self, rows: list[Any], places: list[Place]) -> list[str] | None:
        """Delivers those that are not delivered yet; what the target calls each of them, where it does.

        Raises:
            UnreachableError: not now; whether they are delivered nobody knows.
            RecordError: it does not take one of them.
        """

    def close(self) -> None:
        """Lets go of the connection. Idempotent."""


class Deliveries:
    """Delivers to one target, waiting outages out.

    Args:
        target: not opened yet.
        context: of the sink; its places are those of the batch.
        give_up_after_s: of an outage; None waits for ever.
    """

    def __init__(self, target: Target, context: Context, give_up_after_s: float | None) -> None:
        self._target, self._context, self._give_up_after_s = target, context, give_up_after_s
        self._backoff = Backoff(context.logger, target.name)

    async def begin(self) -> None:
        """Opens the target once, so that what it refuses is told before the first record; an outage is left to `deliver`.

        Raises:
            RejectedError: it does not take what the sink has.
        """
        try:
            await asyncio.to_thread(self._target.open)
        except UnreachableError as error:
            self._backoff.failed(error)

    async def deliver(self, rows: list[Any]) -> list[Receipt]:
        """A receipt for each record of the batch.

        Raises:
            RecordError: the target does not take one of them, or was away for too long.
        """
        places, began_s, attempts = list(self._context.places), time.monotonic(), 0
        while True:
            attempts += 1
            try:
                references = await asyncio.to_thread(self._once, rows, places)
            except UnreachableError as error:
                await asyncio.to_thread(self._target.close)
                pause_s = self._backoff.failed(error)
                if self._give_up_after_s is not None and time.monotonic() + pause_s - began_s > self._give_up_after_s:
                    raise RecordError(f"{self._target.name} was away for {self._give_up_after_s:g} s: {error}") from error
                await asyncio.sleep(pause_s)
            else:
                self._backoff.worked()
                names = references or [f"{one.sequence}/{one.offset}" for one in places]
                return [Receipt(self._target.name, name, attempts) for name in names]

    async def end(self) -> None:
        """Closes the target."""
        await asyncio.to_thread(self._target.close)

    def _once(self, rows: list[Any], places: list[Place]) -> list[str] | None:
        self._target.open()
        return self._target.write(rows, places)
