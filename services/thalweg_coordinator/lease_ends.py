"""Brings leases to their end: what has expired or is to go is rolled back, what is to stay is promoted; every step may be repeated."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from thalweg.api.leases import Done, Lease, State, Thing
from thalweg.bus.leases import Leases
from thalweg.errors import RejectedError
from thalweg_coordinator.lease_contents import LeaseContents

KEPT_S = 600.0  # how long a lease that has ended is told of; what a late request has made under it goes with its record
ENDING = ("draining", "discarding")
_log = logging.getLogger("thalweg.coordinator")


class LeaseEnds:
    """Ends leases; for the coordinator that leads.

    Args:
        leases: of the workspace.
        contents: what they own.
        on_discard: told the name of each deployment that is to end with its lease.
    """

    def __init__(self, leases: Leases, contents: LeaseContents, on_discard: Callable[[str], None]) -> None:
        self._leases, self._contents, self._on_discard = leases, contents, on_discard

    async def step(self) -> bool:
        """Does what can be done now for every lease; whether one is coming to its end.

        Raises:
            ThalwegError: a server is away; nothing is forgotten then.
        """
        leases = await self._leases.all()
        for lease in leases:
            try:
                await self._step(lease, time.time_ns())
            except RejectedError as error:
                if error.code != "lease.unknown":  # forgotten by who has opened it
                    raise
        return any(one.ended_ns is None and one.is_over(time.time_ns()) for one in leases)

    async def _step(self, lease: Lease, now_ns: int) -> None:
        if lease.ended_ns is not None:
            if now_ns - lease.ended_ns > KEPT_S * 1e9 and await self._is_gone(lease):
                await self._leases.forget(lease.id)
        elif lease.state == "committing":
            await self._commit(lease)
        elif lease.is_over(now_ns):
            if lease.state == "open":
                lease = await self._expire(lease)
            if lease.state == "rolling back" and await self._is_gone(lease):
                await self._close(lease, "rolled back")

    async def _expire(self, lease: Lease) -> Lease:
        def expired(now: Lease) -> Lease:
            if now.state != "open" or not now.is_over(time.time_ns()):
                return now  # renewed meanwhile
            return now.model_copy(update={"state": "rolling back", "reason": f"not renewed for {now.ttl_s:g} s"})

        lease = await self._leases.change(lease.id, expired)
        if lease.state == "rolling back":
            _log.warning("lease %s (%s) has expired and is rolled back", lease.id, lease.note)
        return lease

    async def _is_gone(self, lease: Lease) -> bool:
        """Removes what the lease owns; whether nothing is left. Deployments end first: all else may be in their use."""
        things = await self._contents.things(lease.id)
        await self._note(lease, things, "removed")
        running = [one for one in things if one.kind == "deployment"]
        for one in running:
            self._on_discard(one.name)
            await self._contents.discard(one.name)
        if running:
            return False
        for one in things:
            await self._contents.remove(lease.id, one)
        await self._contents.wipe(lease.id)
        return True

    async def _commit(self, lease: Lease) -> None:
        things = await self._contents.things(lease.id)
        if any(one.kind == "deployment" and one.note in ENDING for one in things):
            return  # what it leaves is not all there yet
        await self._note(lease, things, "promoted")
        await self._contents.promote(lease.id, reversed(things))
        await self._contents.wipe(lease.id)
        await self._close(lease, "committed")

    async def _note(self, lease: Lease, things: list[Thing], action: str) -> None:
        """Before it is done: a coordinator that takes over finds less than there was."""

        def noted(now: Lease) -> Lease:
            known = {str(one.thing) for one in now.done if one.action == action}
            new = [Done.model_validate({"thing": one, "action": action}) for one in things if str(one) not in known]
            return now.model_copy(update={"done": [*now.done, *new]})

        await self._leases.change(lease.id, noted)

    async def _close(self, lease: Lease, state: State) -> None:
        await self._leases.change(lease.id, lambda now: now.model_copy(update={"state": state, "ended_ns": time.time_ns()}))
        _log.info("lease %s is %s", lease.id, state)
