"""A deployment log in memory, as one vertex sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from thalweg.runtime.inputs import Message
from thalweg.runtime.log import Recovered
from thalweg.runtime.loop import VertexLoop
from thalweg.wire.commit import Commit, decode_commit, encode_commit
from thalweg.wire.rewind import Rewind


class MemoryLog:
    """Implements `thalweg.runtime.log.Log` for a vertex without state.

    Args:
        messages: what there is to read.
        commits: what the vertex has written so far.
    """

    def __init__(self, messages: list[Message], commits: list[Commit] | None = None) -> None:
        self.arrived = asyncio.Event()
        self.commits = list(commits or [])
        self._messages, self._ahead = messages, list[Message]()
        self.written = asyncio.Event()

    async def recover(self) -> Recovered:
        """The last commit."""
        return Recovered(decode_commit(encode_commit(self.commits[-1])) if self.commits else None, None)

    async def checkpoint(self, rewind: Rewind) -> Recovered:
        """The commit of that number."""
        then = next((one for one in self.commits if one.number == rewind.commit), None)
        return Recovered(then and decode_commit(encode_commit(then)), None)

    async def write(self, parts: list[tuple[str, bytes]], commit: Commit) -> None:
        """Keeps the commit."""
        self.commits.append(decode_commit(encode_commit(commit)))
        self.written.set()

    async def open(self, positions: dict[str, tuple[int, int]], allowed: Callable[[str], bool] | None = None) -> None:
        """From its position on."""
        self._ahead = [message for message in self._messages if message.first >= positions[message.edge][0]]

    async def last_from_outside(self) -> int:
        """Of all there is."""
        return self._messages[-1].last if self._messages else 0

    def ready(self) -> Message | None:
        """The next one."""
        return self._ahead.pop(0) if self._ahead else None

    async def close(self) -> None:
        """Nothing to do."""

    async def run_until(self, loop: VertexLoop, condition: Callable[[Commit], bool]) -> None:
        """Runs a vertex until it has committed what is asked for, then kills it."""
        task = asyncio.create_task(loop.run())
        async with asyncio.timeout(20):
            while not (self.commits and condition(self.commits[-1])):
                self.written.clear()
                await self.written.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
