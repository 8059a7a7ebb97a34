"""Holds: who still needs a deployment's log from which sequence on, so that trimming does not outrun it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Self

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError

from thalweg.bus.buckets import Bucket, StaleWriteError
from thalweg.errors import ThalwegError
from thalweg.runtime.tasks import end_tasks
from thalweg.wire import subjects

_log = logging.getLogger("thalweg.bus")
TTL_S = 30.0  # a holder that is dead keeps writers waiting for so long, at most
RENEW_S = 5.0
MIN_GAP_S = 0.1  # between two writes of a hold that advances


class HoldRecord(msgspec.Struct, frozen=True):
    """What is stored of a hold.

    Attributes:
        sequence: of the log; from here on the holder still needs everything.
        expires_ns: when it counts no more, by the clock.
    """

    sequence: int
    expires_ns: int


_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(HoldRecord).decode


def lowest_sequence(holds: Iterable[HoldRecord], now_ns: int) -> int | None:
    """From where on the log is needed by someone; None where nobody holds it."""
    return min((one.sequence for one in holds if one.expires_ns > now_ns), default=None)


def holds_bucket(client: Client, workspace: str) -> Bucket:
    """The bucket of all holds of a workspace."""
    return Bucket(client, subjects.bucket(workspace, "holds"))


async def held_from(client: Client, workspace: str, deployment: str) -> int | None:
    """The lowest sequence of a deployment's log that an unexpired hold still needs; None where there is none.

    Raises:
        UnreachableError: the server is away.
    """
    bucket = holds_bucket(client, workspace)
    found = await bucket.items(await bucket.keys(f"{deployment}.*"))
    return lowest_sequence([hold for value in found.values() if (hold := _read(value)) is not None], time.time_ns())


async def holds_of(client: Client, workspace: str, deployment: str) -> dict[str, int]:
    """From which sequence on each holder still needs a deployment's log; those that have expired are left out.

    Raises:
        UnreachableError: the server is away.
    """
    bucket, now_ns = holds_bucket(client, workspace), time.time_ns()
    found = await bucket.items(await bucket.keys(f"{deployment}.*"))
    holds = {key.partition(".")[2]: hold for key, value in found.items() if (hold := _read(value)) is not None}
    return {holder: hold.sequence for holder, hold in holds.items() if hold.expires_ns > now_ns}


async def hold_of(client: Client, workspace: str, deployment: str, holder: str) -> int | None:
    """The sequence that a holder was at when it was last heard of, expired or not; None where it holds nothing."""
    value = (await holds_bucket(client, workspace).get(_key(deployment, holder))).value
    hold = _read(value) if value is not None else None
    return hold.sequence if hold is not None else None


async def place_hold(client: Client, workspace: str, deployment: str, holder: str, sequence: int, ttl_s: float = TTL_S) -> None:
    """Holds a log for one that has yet to start, and then takes the hold over by `Hold` under the same name.

    Raises:
        UnreachableError, RejectedError: it was not stored.
    """
    await holds_bucket(client, workspace).put(_key(deployment, holder), _encode(_record(sequence, ttl_s)), None)


class Hold:
    """One holder's hold, renewed for as long as the block lasts, then removed.

    It takes over what a former copy of the holder has left under its name. A hold that does not advance makes writers wait once
    their subjects are full: a holder has to keep up. When the deployment is removed, so is the hold, and is not made again.

    Args:
        client: NATS connection.
        workspace, deployment: whose log.
        holder: name of who holds it, one for each deployment.
        sequence: from here on everything is needed.
        ttl_s: how long it outlives a holder that is killed.
    """

    def __init__(self, client: Client, workspace: str, deployment: str, holder: str, sequence: int, ttl_s: float = TTL_S) -> None:
        self._bucket, self._key, self._ttl_s = holds_bucket(client, workspace), _key(deployment, holder), ttl_s
        self._sequence, self._revision = sequence, 0
        self._advanced = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.is_lost = False

    async def __aenter__(self) -> Self:
        """Returns when the hold is stored: what was there then is kept.

        Raises:
            UnreachableError, RejectedError: it cannot be stored.
        """
        await self._bucket.ensure()
        await self._store(None)
        self._task = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            await end_tasks(self._task)
        await _remove(self._bucket, self._key)

    def advance(self, sequence: int) -> None:
        """Says that what lies below is not needed any more; lower than before is ignored. Does not block."""
        if sequence > self._sequence:
            self._sequence = sequence
            self._advanced.set()

    async def _keep(self) -> None:
        while not self.is_lost:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._advanced.wait(), min(RENEW_S, self._ttl_s / 3))
            self._advanced.clear()
            try:
                await self._store(self._revision)
            except StaleWriteError:
                await self._read_again()
            except (ThalwegError, NatsError, OSError, TimeoutError) as error:
                _log.info("hold %s is not renewed: %s", self._key, error)
            await asyncio.sleep(MIN_GAP_S)

    async def _store(self, revision: int | None) -> None:
        self._revision = await self._bucket.put(self._key, _encode(_record(self._sequence, self._ttl_s)), revision)

    async def _read_again(self) -> None:
        """A reply was lost, or the deployment is gone and the hold with it."""
        with suppress(ThalwegError, NatsError, OSError, TimeoutError):
            found = await self._bucket.get(self._key)
            self.is_lost, self._revision = found.value is None, found.revision
            self._advanced.set()


async def remove_hold(client: Client, workspace: str, deployment: str, holder: str) -> None:
    """Lets a log go that a holder will not come back for; one that cannot be removed now expires."""
    await _remove(holds_bucket(client, workspace), _key(deployment, holder))


async def _remove(bucket: Bucket, key: str) -> None:
    with suppress(ThalwegError, StaleWriteError, NatsError, OSError, TimeoutError):
        found = await bucket.get(key)
        if found.value is not None:
            await bucket.delete(key, found.revision)


def _key(deployment: str, holder: str) -> str:
    return f"{subjects.check_token('deployment', deployment)}.{subjects.check_token('holder', holder)}"


def _record(sequence: int, ttl_s: float) -> HoldRecord:
    return HoldRecord(sequence, time.time_ns() + int(ttl_s * 1e9))


def _read(value: bytes) -> HoldRecord | None:
    try:
        return _decode(value)
    except msgspec.DecodeError:
        return None
