"""Copies what the log of a running deployment has now, as a replay that says that it is none of the whole run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from thalweg.bus.connection import Client
from thalweg.bus.deployments import load_deployment
from thalweg.bus.raw_reader import RawReader
from thalweg.errors import RejectedError, UnreachableError
from thalweg.replay.reader import Replay
from thalweg.replay.recorder import Recorder
from thalweg.wire import subjects
from thalweg.wire.capturing import ALL

MAX_COPY_BYTES = 4 << 30
TIMEOUT_S = 300.0
LOOK_S = 0.2


async def copy_log(client: Client, workspace: str, name: str, path: Path) -> Replay:
    """Copies it into a file that is not there yet; what is written meanwhile may be missing.

    Raises:
        RejectedError: `deployment.unknown` and the like, or `log.too_large`.
        UnreachableError: the log could not be read in 300 s.
        OSError: the file cannot be written.
    """
    spec = msgspec.structs.replace(await load_deployment(client, workspace, name), capture=ALL)
    types = {(one.name, port): kind for one in spec.vertices for port, kind in one.outputs.items()}
    about = {"format": "thalweg-replay/1", "deployment": name, "backend": spec.backend, "capture": ALL}
    recorder = Recorder(path, about, msgspec.json.encode(spec), lambda vertex, port: types.get((vertex, port)), is_gapless=False)
    arrived = asyncio.Event()
    reader = RawReader(client, subjects.stream(workspace, name), [subjects.everything(workspace, name)], 1, arrived.set)
    await reader.open()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await _copy(reader, arrived, recorder)
    except TimeoutError:
        raise UnreachableError(f"the log of {name} could not be read in {TIMEOUT_S:g} s", code="log.slow") from None
    finally:
        await reader.close()
    await asyncio.to_thread(recorder.seal, {}, "copied from a log that goes on")
    return Replay(path)


async def _copy(reader: RawReader, arrived: asyncio.Event, recorder: Recorder) -> None:
    """Up to where the log ends when all that was there has come; a log that grows faster than it is read is cut by its size."""
    size = 0
    while True:
        while reader.arrived:
            message = reader.pop()
            size += len(message.data)
            if size > MAX_COPY_BYTES:
                raise RejectedError(f"the log has more than {MAX_COPY_BYTES:,} bytes", code="log.too_large", hint="trace a replay of it")
            recorder.add(message)
            reader.pull_soon()
        if await reader.has_all() and not reader.arrived:
            return
        arrived.clear()
        if not reader.arrived:
            try:
                await asyncio.wait_for(arrived.wait(), LOOK_S)
            except TimeoutError:
                reader.pull_soon()
