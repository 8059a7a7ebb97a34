"""The leases of a workspace, in a key-value bucket: opened, renewed, told to end; who removes what they own is elsewhere."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from nats.aio.client import Client
from nats.errors import Error as NatsError
from pydantic import ValidationError

from thalweg.api.leases import Lease, State
from thalweg.bus.buckets import Bucket, StaleWriteError
from thalweg.errors import RejectedError, ThalwegError
from thalweg.runtime.tasks import end_tasks
from thalweg.wire import subjects

TRIES = 20
RENEWALS = 4  # so many within a lease's time


class Leases:
    """Reads and writes them.

    Args:
        client: NATS connection.
        workspace: whose.
    """

    def __init__(self, client: Client, workspace: str) -> None:
        self._bucket = Bucket(client, subjects.bucket(workspace, "leases"))

    async def ensure(self) -> None:
        """Makes the bucket where there is none."""
        await self._bucket.ensure()

    async def open(self, author: str, note: str, ttl_s: float, lease_id: str | None = None) -> Lease:
        """A new lease.

        Raises:
            RejectedError: `lease.exists`.
        """
        now = time.time_ns()
        lease_id = lease_id or f"lease-{os.urandom(5).hex()}"
        lease = Lease(id=lease_id, author=author, note=note, ttl_s=ttl_s, opened_ns=now, expires_ns=now + int(ttl_s * 1e9))
        former = await self._bucket.get(lease_id)
        try:
            if former.value is not None:
                raise StaleWriteError
            await self._bucket.put(lease_id, lease.model_dump_json().encode(), former.revision)
        except StaleWriteError:
            raise RejectedError(f"there is a lease {lease_id} already", code="lease.exists") from None
        return lease

    async def read(self, lease_id: str) -> Lease:
        """Raises RejectedError (`lease.unknown`, `lease.damaged`)."""
        found = (await self._bucket.get(lease_id)).value
        if found is None:
            raise _unknown(lease_id)
        return _decode(lease_id, found)

    async def all(self) -> list[Lease]:
        """The oldest first; those that cannot be read are left out."""
        found = []
        for lease_id, body in (await self._bucket.items()).items():
            with suppress(RejectedError):
                found.append(_decode(lease_id, body))
        return sorted(found, key=lambda one: (one.opened_ns, one.id))

    async def change(self, lease_id: str, change: Callable[[Lease], Lease]) -> Lease:
        """Writes what `change` makes of it; where somebody else is faster, it is asked again.

        Raises:
            RejectedError: what `change` raises; `lease.unknown`, `lease.busy`.
        """
        for _ in range(TRIES):
            item = await self._bucket.get(lease_id)
            if item.value is None:
                raise _unknown(lease_id)
            now = _decode(lease_id, item.value)
            wanted = change(now)
            if wanted == now:
                return now
            try:
                await self._bucket.put(lease_id, wanted.model_dump_json().encode(), item.revision)
            except StaleWriteError:
                continue
            return wanted
        raise RejectedError(f"lease {lease_id} is changed by many at once", code="lease.busy", hint="try again")

    async def renew(self, lease_id: str, ttl_s: float | None = None) -> Lease:
        """Holds a lease from now on for its time, or another one. Raises RejectedError (`lease.ended`, `lease.unknown`)."""

        def renewed(lease: Lease) -> Lease:
            now = time.time_ns()
            lease.require_open(now)
            seconds = ttl_s or lease.ttl_s
            return lease.model_copy(update={"ttl_s": seconds, "expires_ns": now + int(seconds * 1e9)})

        return await self.change(lease_id, renewed)

    async def end(self, lease_id: str, state: State, reason: str) -> Lease:
        """Says that a lease is to end; a commit, once said, is not taken back, nor is a roll-back.

        Raises:
            RejectedError: `lease.ended`, `lease.unknown`.
        """

        def ended(lease: Lease) -> Lease:
            if lease.state in (state, "committed" if state == "committing" else "rolled back"):
                return lease
            if lease.state != "open" or state == "committing":
                lease.require_open(time.time_ns())
            return lease.model_copy(update={"state": state, "reason": reason})

        return await self.change(lease_id, ended)

    async def forget(self, lease_id: str) -> None:
        """Removes the record of a lease; harmless when it is gone."""
        item = await self._bucket.get(lease_id)
        if item.value is not None:
            with suppress(StaleWriteError):
                await self._bucket.delete(lease_id, item.revision)


@asynccontextmanager
async def held(leases: Leases, lease: Lease) -> AsyncIterator[None]:
    """Renews a lease in the background while the block runs; one that has ended is not renewed any more."""
    renewing = asyncio.create_task(_renew(leases, lease))
    try:
        yield
    finally:
        await end_tasks(renewing)


async def _renew(leases: Leases, lease: Lease) -> None:
    while True:
        await asyncio.sleep(lease.ttl_s / RENEWALS)
        try:
            await leases.renew(lease.id)
        except RejectedError as error:
            if error.code in ("lease.ended", "lease.unknown"):
                return
        except (ThalwegError, NatsError, OSError, TimeoutError):
            continue  # a server that is away for a while: the next renewal may come in time


def _decode(lease_id: str, body: bytes) -> Lease:
    try:
        return Lease.model_validate_json(body)
    except ValidationError as error:
        raise RejectedError(f"the record of lease {lease_id} cannot be read", code="lease.damaged") from error


def _unknown(lease_id: str) -> RejectedError:
    return RejectedError(f"there is no lease {lease_id}", code="lease.unknown", hint="`thalweg lease list` shows those there are")
