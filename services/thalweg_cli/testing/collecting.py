"""Reads the records of ports from the log while a graph runs, each once and in order, before they are trimmed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from thalweg.bus.connection import Client, NatsError
from thalweg.bus.holds import Hold
from thalweg.bus.reader import Reader
from thalweg.bus.watch import LogWatch
from thalweg.errors import RunFailedError, UnreachableError
from thalweg.graph.parse import parse_type
from thalweg.sdk.records import python_type
from thalweg.testing.checks import Check
from thalweg.wire import subjects
from thalweg.wire.batch import batch_decoder
from thalweg.wire.spec import DeploymentSpec

Port = tuple[str, str]
LATE_S = 30.0  # without a record that is known to be there
LOOK_S = 0.2


class Collector:
    """Feeds the records of ports to checks.

    Args:
        client: NATS connection.
        spec: the deployment, whose log is there.
        checks: by (vertex, port).
        hold: keeps from being trimmed what was not read yet; it is advanced.
    """

    def __init__(self, client: Client, spec: DeploymentSpec, checks: Mapping[Port, list[Check]], hold: Hold | None) -> None:
        self._checks, self._hold = checks, hold
        self._arrived = asyncio.Event()
        self._counts = dict.fromkeys(checks, 0)
        outputs = {one.name: one.outputs for one in spec.vertices}
        self._decoders = {port: batch_decoder(python_type(parse_type(outputs[port[0]][port[1]]))) for port in checks}
        self._ports = {".".join(port): port for port in checks}
        self._edges = {subjects.port(spec.workspace, spec.name, *port): [name] for name, port in self._ports.items()}
        self._reader = Reader(client, subjects.stream(spec.workspace, spec.name), self._edges, 1, self._arrived.set)
        self._watch, self._read_to = LogWatch(client, spec.workspace, spec.name), 0

    async def read(self, expected: Callable[[], Mapping[Port, int] | None]) -> None:
        """Reads until each port has given as many records as `expected` says; None while that is not known.

        Raises:
            RunFailedError: `test.incomplete`, records of a port do not come.
        """
        if not self._checks:
            return
        await self._reader.open()
        try:
            waited_s = 0.0
            while (wanted := expected()) is None or wanted != self._counts:
                if await self._take_arrived():
                    waited_s = 0.0
                elif wanted is not None and waited_s > LATE_S:
                    raise _incomplete(wanted, self._counts)
                elif not await self._waited():
                    waited_s += LOOK_S if wanted is not None else 0.0
                    await self._let_go()
        finally:
            await self._reader.close()

    async def _take_arrived(self) -> bool:
        """Takes one message; whether there was one."""
        if not self._reader.arrived:
            return False
        message = self._reader.pop()
        self._reader.pull_soon()
        port = self._ports[message.edge]
        values = self._decoders[port].decode(message.body).v
        for check in self._checks[port]:
            _feed(check, values)
        self._counts[port] += len(values)
        self._read_to = message.last
        if self._hold is not None:
            self._hold.advance(message.last + 1)
        await asyncio.sleep(0)  # leases and holds are renewed in this loop
        return True

    async def _waited(self) -> bool:
        """Whether something has arrived within a while."""
        self._arrived.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await self._arrived.wait()
        return bool(self._reader.arrived)

    async def _let_go(self) -> None:
        """Advances the hold over what others have written, while the ports have nothing new: those who write would wait for it else."""
        with suppress(UnreachableError, NatsError, OSError, TimeoutError):
            look = await self._watch.look()
            if look is None or self._hold is None:
                return
            newest = max((head.sequence for head in look.heads if head.subject in self._edges), default=0)
            if newest <= self._read_to:
                self._hold.advance(look.last_sequence + 1)


def _feed(check: Check, values: Iterable[Any]) -> None:
    for value in values:
        check.take(value)


def _incomplete(wanted: Mapping[Port, int], counts: Mapping[Port, int]) -> RunFailedError:
    port = next(one for one in wanted if wanted[one] != counts[one])
    what = f"{'.'.join(port)} has put out {wanted[port]:,} records, but {counts[port]:,} could be read"
    return RunFailedError(what, code="test.incomplete", hint="the log was trimmed before they were read")
