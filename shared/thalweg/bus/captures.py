"""What a deployment and the capture of its log say to each other: up to where it is wanted, and what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from thalweg.bus.buckets import Bucket
from thalweg.bus.deployments import log_state
from thalweg.errors import ThalwegError
from thalweg.wire import subjects
from thalweg.wire.capturing import NONE, Captured, RingNote, SaveRequest
from thalweg.wire.spec import DeploymentSpec

POLL_S = 0.05
SEAL_TIMEOUT_S = 600.0  # uploading included


class _Wanted(msgspec.Struct, frozen=True):
    sequence: int
    deployed_ns: int


class _Result(msgspec.Struct, frozen=True):
    captured: Captured
    deployed_ns: int


def captures_bucket(client: Client, workspace: str) -> Bucket:
    """The bucket: keys `<deployment>.wanted`, `<deployment>.result`, `<deployment>.ring`, `<deployment>.save.<id>`."""
    return Bucket(client, subjects.bucket(workspace, "captures"))


class CaptureNotes:
    """Both sides' notes about the capture of one deployment.

    Args:
        client: NATS connection.
        spec: the deployment; what was noted of another one of its name does not count.
    """

    def __init__(self, client: Client, spec: DeploymentSpec) -> None:
        self._client, self._spec = client, spec
        self._bucket = captures_bucket(client, spec.workspace)

    async def ask(self) -> None:
        """Says that nothing follows on the log, so that its capture is to come to its end; may be repeated.

        Raises:
            ThalwegError, nats.errors.Error, OSError, TimeoutError: it was not said.
        """
        if await self.wanted() is None:
            state = await log_state(self._client, self._spec.workspace, self._spec.name)
            last = state[1] if state is not None else 0
            await self._bucket.put(f"{self._spec.name}.wanted", msgspec.json.encode(_Wanted(last, self._spec.deployed_ns)), None)

    async def wanted(self) -> int | None:
        """The last sequence to capture; None while more may come."""
        value = (await self._bucket.get(f"{self._spec.name}.wanted")).value
        found = msgspec.json.decode(value, type=_Wanted) if value is not None else None
        return found.sequence if found is not None and found.deployed_ns == self._spec.deployed_ns else None

    @asynccontextmanager
    async def telling(self, notify: Callable[[], None]) -> AsyncIterator[None]:
        """Calls `notify` as soon as the capture, or a window, is wanted, while the block lasts; not for what was said before."""

        async def on_message(message: Msg) -> None:
            notify()

        prefix = f"$KV.{subjects.bucket(self._spec.workspace, 'captures')}.{self._spec.name}"
        subscriptions = [await self._client.subscribe(f"{prefix}.{name}", cb=on_message) for name in ("wanted", "save.*")]
        try:
            yield
        finally:
            for subscription in subscriptions:
                with suppress(NatsError, OSError):
                    await subscription.unsubscribe()

    async def tell(self, captured: Captured) -> None:
        """Says what became of the capture."""
        body = msgspec.json.encode(_Result(captured, self._spec.deployed_ns))
        await self._bucket.put(f"{self._spec.name}.result", body, None)

    async def result(self) -> Captured | None:
        """What became of the capture; None while that is not known."""
        value = (await self._bucket.get(f"{self._spec.name}.result")).value
        found = msgspec.json.decode(value, type=_Result) if value is not None else None
        return found.captured if found is not None and found.deployed_ns == self._spec.deployed_ns else None

    async def request(self, asked: SaveRequest) -> None:
        """Asks for a window; may be repeated.

        Raises:
            ThalwegError, nats.errors.Error, OSError, TimeoutError: it was not asked for.
        """
        await self._bucket.put(f"{self._spec.name}.save.{asked.id}", msgspec.json.encode(asked), None)

    async def requests(self) -> list[SaveRequest]:
        """Windows that are asked for and not saved yet."""
        found = await self._bucket.items(await self._bucket.keys(f"{self._spec.name}.save.*"))
        asked = [msgspec.json.decode(value, type=SaveRequest) for value in found.values()]
        return sorted((one for one in asked if one.deployed_ns == self._spec.deployed_ns), key=lambda one: one.sequence)

    async def settle(self, asked: SaveRequest) -> None:
        """Takes a request back, once it is told what became of it."""
        key = f"{self._spec.name}.save.{asked.id}"
        found = await self._bucket.get(key)
        if found.value is not None:
            await self._bucket.delete(key, found.revision)

    async def note(self, ring: RingNote) -> None:
        """Says how the ring stands."""
        await self._bucket.put(f"{self._spec.name}.ring", msgspec.json.encode(ring), None)

    async def ring(self) -> RingNote:
        """How the ring stands, as far as was said."""
        value = (await self._bucket.get(f"{self._spec.name}.ring")).value
        found = msgspec.json.decode(value, type=RingNote) if value is not None else None
        mine = self._spec.deployed_ns
        return found if found is not None and found.deployed_ns == mine else RingNote(mine)


async def finish_capture(client: Client, spec: DeploymentSpec, timeout_s: float = SEAL_TIMEOUT_S) -> Captured | None:
    """Lets the capture of a deployment that has ended come to its end; None where nothing is captured.

    A capture that does not come to its end in time is told as incomplete.
    """
    if spec.capture == NONE:
        return None
    notes = CaptureNotes(client, spec)
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    await notes.ask()
                    if (found := await notes.result()) is not None:
                        return found
                except (ThalwegError, NatsError, OSError):
                    pass  # a server that is away; the time limit bounds it
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        return Captured(reason=f"it had not come to its end after {timeout_s:g} s")
