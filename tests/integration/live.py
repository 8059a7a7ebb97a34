"""Runs a source as a vertex would, over a log in memory, against real servers outside: with commits, kills, drains."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from thalweg.graph.parse import parse_type
from thalweg.runtime.assemble import assemble
from thalweg.runtime.engine import Limits
from thalweg.runtime.loop import VertexLoop
from thalweg.sdk.component import component_of
from thalweg.sdk.records import python_type
from thalweg.sdk.release import ComponentRelease
from thalweg.sdk.values import Secret
from thalweg.testing.vertex import vertex_of
from thalweg.wire.batch import batch_decoder
from thalweg.wire.commit import Commit
from unit.runtime.memory_log import MemoryLog

DEADLINE_S = 20.0


class _Log(MemoryLog):
    """Keeps what was written to it, and may let a writer wait."""

    def __init__(self) -> None:
        super().__init__([])
        self.parts: list[tuple[str, bytes]] = []
        self.may_write = asyncio.Event()
        self.may_write.set()

    async def write(self, parts: list[tuple[str, bytes]], commit: Commit) -> None:
        await self.may_write.wait()
        self.parts += parts
        await super().write(parts, commit)


class LiveSource:
    """One source over all its restarts.

    Args:
        component: its class.
        params, secrets, files: as it is bound.
        on_error: as in a pipeline file.
    """

    def __init__(
        self,
        component: Any,
        params: dict[str, Any],
        secrets: Mapping[str, str] = MappingProxyType({}),
        files: Mapping[str, Path] = MappingProxyType({}),
        on_error: str = "fail",
    ) -> None:
        self._release = ComponentRelease(component_of(component), component.__module__)
        self._files, self._secrets = dict(files), secrets
        self.spec = vertex_of(self._release, "source", {}, params, on_error, self._files)  # type: ignore[arg-type]
        self.log = _Log()
        self._decoder = batch_decoder(python_type(parse_type(self.spec.outputs["out"])))

    @property
    def values(self) -> list[Any]:
        """What is on the log."""
        return [value for port, body in self.log.parts if port == "out" for value in self._decoder.decode(body).v]

    @property
    def times(self) -> list[int]:
        """Event times of what is on the log."""
        return [time for port, body in self.log.parts if port == "out" for time in self._decoder.decode(body).t]

    @property
    def dead(self) -> list[Any]:
        """Dead letters."""
        return [letter for port, body in self.log.parts if port == "_dead" for letter in msgspec.msgpack.decode(body)]

    @property
    def last(self) -> Commit:
        """The last commit."""
        return self.log.commits[-1]

    def start(self) -> Running:
        """Starts it where it was left."""
        engine = assemble(self.spec, self._release, self._files, {}, Limits(), parse_type, self._secrets)
        return Running(self, VertexLoop(engine, self.log, None, None))


class Running:
    """One copy of a source that runs."""

    def __init__(self, source: LiveSource, loop: VertexLoop) -> None:
        self.source, self.loop = source, loop
        self._task = asyncio.create_task(loop.run())

    async def until(self, condition: Callable[[], Any]) -> None:
        """Waits until what is on the log is as it is to be."""
        log = self.source.log
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                assert not self._task.done() or not self._task.exception(), self._task.exception()
                log.written.clear()
                await log.written.wait()

    async def until_count(self, count: int) -> None:
        """Waits for so many records on the log."""
        await self.until(lambda: len(self.source.values) >= count)

    async def ended(self) -> None:
        """Waits until it ends by itself."""
        async with asyncio.timeout(DEADLINE_S):
            await self._task

    async def drain(self) -> None:
        """Ends the source, as an undeploy does."""
        self.loop.drain()
        await self.ended()
        await self._leave()

    async def stop(self) -> None:
        """Stops it, as SIGTERM does; the next one goes on."""
        self.loop.stop()
        await self.ended()
        await self._leave()

    async def kill(self) -> None:
        """Ends it where it stands."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self._leave()

    async def _leave(self) -> None:
        """What the end of the process does: a source that is in a call is not closed before."""
        instance = self.loop.engine.program.instance
        if hasattr(instance, "close") and inspect.iscoroutinefunction(instance.close):
            await instance.close()
        elif hasattr(instance, "close"):
            await asyncio.to_thread(instance.close)


class Relay:
    """Passes TCP connections on to a server, and can cut them all; for `async with`.

    Args:
        port: of the server.
    """

    def __init__(self, port: int) -> None:
        self._to, self.port = port, 0
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        """Breaks all connections, without a word."""
        for writer in self._writers:
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        ends = {writer, far_writer}
        self._writers |= ends
        with suppress(OSError):
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, far_writer))
                group.create_task(_pump(far_reader, writer))
        self._writers -= ends
        for end in ends:
            end.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


def bound(component: Any, params: dict[str, Any], secrets: Mapping[str, str] = MappingProxyType({})) -> Any:
    """An instance with its params and secrets, as `probe` finds it."""
    found, instance = component_of(component), component()
    assert found.params is not None
    instance.params = found.params.model_validate(params)
    for slot in found.secrets:
        setattr(instance, slot, Secret(secrets[slot]) if slot in secrets else None)
    for slot in found.files:
        setattr(instance, slot, None)
    return instance
