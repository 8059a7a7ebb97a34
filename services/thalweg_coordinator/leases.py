"""Answers calls about leases, and says of every other request whether the lease that it names is open."""

from __future__ import annotations

import time
from typing import Any

from thalweg.api import leases as api
from thalweg.api.calls import Call, Nothing
from thalweg.bus.leases import Leases
from thalweg_coordinator.api import Handler
from thalweg_coordinator.lease_contents import LeaseContents


class LeaseCalls:
    """Handlers by call.

    Args:
        leases: of the workspace.
        contents: what they own.
    """

    def __init__(self, leases: Leases, contents: LeaseContents) -> None:
        self._leases, self._contents = leases, contents

    def handlers(self) -> dict[Call[Any, Any], Handler]:
        """By call of `thalweg.api.leases`."""
        return {
            api.OPEN: self.open,
            api.LIST: self.list_all,
            api.SHOW: self.show,
            api.RENEW: self.renew,
            api.PROMOTE: self.promote,
            api.COMMIT: self.commit,
            api.ROLLBACK: self.roll_back,
        }

    def requiring_open(self, handlers: dict[Call[Any, Any], Handler]) -> dict[Call[Any, Any], Handler]:
        """Handlers that refuse a request on behalf of a lease that is not open."""
        return {call: self._requiring(handler) if issubclass(call.request, api.Leased) else handler for call, handler in handlers.items()}

    async def open(self, asked: api.Open) -> api.Lease:
        """A new lease, open from now on."""
        return await self._leases.open(asked.author, asked.note, asked.ttl_s, asked.id)

    async def list_all(self, asked: Nothing) -> api.Listed:
        """Those that are kept."""
        return api.Listed(leases=await self._leases.all())

    async def show(self, asked: api.Which) -> api.Shown:
        """One, and what it owns."""
        lease = await self._leases.read(asked.id)
        return api.Shown(lease=lease, things=await self._contents.things(lease.id) if lease.ended_ns is None else [])

    async def renew(self, asked: api.Renew) -> api.Lease:
        """Holds it from now on."""
        return await self._leases.renew(asked.id, asked.ttl_s)

    async def promote(self, asked: api.Promote) -> api.Promoted:
        """Takes things out of it."""
        (await self._leases.read(asked.id)).require_open(time.time_ns())
        wanted = []
        for one in asked.things:
            kind, _, name = one.partition(":")
            wanted.append(api.Thing.model_validate({"kind": kind, "name": name}))
        things = await self._contents.promote(asked.id, wanted)
        done = [api.Done(thing=one, action="promoted") for one in things]
        await self._leases.change(asked.id, lambda now: now.model_copy(update={"done": [*now.done, *done]}))
        return api.Promoted(things=things)

    async def commit(self, asked: api.End) -> api.Lease:
        """Says that all is to stay; who leads brings it about."""
        return await self._leases.end(asked.id, "committing", asked.reason)

    async def roll_back(self, asked: api.End) -> api.Lease:
        """Says that all is to go; who leads brings it about."""
        return await self._leases.end(asked.id, "rolling back", asked.reason)

    def _requiring(self, handler: Handler) -> Handler:
        async def handle(asked: api.Leased) -> Any:
            if asked.lease is not None:
                (await self._leases.read(asked.lease)).require_open(time.time_ns())
            return await handler(asked)

        return handle
