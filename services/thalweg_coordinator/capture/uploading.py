"""Puts replays into the file store, says what became of them."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from thalweg.artifacts import Store
from thalweg.bus.captures import CaptureNotes
from thalweg.errors import ThalwegError
from thalweg.replay.completeness import Completeness
from thalweg.wire.capturing import Captured

_log = logging.getLogger("thalweg.capture")
RETRY_S, CHECK_S = 3.0, 2.0
FILE_NAME = "replay.mcap"


def replay_path(data: Path, deployment: str) -> Path:
    """Where a replay is written: with what the deployment's vertices keep beside the log, so that it goes with that."""
    return data / "scratch" / deployment / "_capture" / FILE_NAME


async def upload(store: Store, path: Path, found: Completeness | None, reason: str | None) -> Captured:
    """Tries for as long as the deployment is there: who waits for it bounds that."""
    while True:
        try:
            await asyncio.to_thread(store.ensure_bucket)
            artifact = await asyncio.to_thread(store.put_file, path)
            break
        except ThalwegError as error:
            _log.warning("the replay is not uploaded yet: %s", error)
            await asyncio.sleep(RETRY_S)
    messages = sum(one.messages for one in found.subjects.values()) if found is not None else 0
    is_complete = found is not None and found.complete
    why = None if is_complete else (found.reason if found is not None else None) or reason or "it has no end"
    is_window = found is not None and found.window is not None
    return Captured(artifact.id, artifact.size_bytes, is_complete, why, messages, is_window)


async def until_wanted(notes: CaptureNotes) -> None:
    """Returns when the deployment's end has come."""
    while await notes.wanted() is None:  # noqa: ASYNC110
        await asyncio.sleep(CHECK_S)
