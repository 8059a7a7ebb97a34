"""Captures a deployment from its first message to the end, uploads the replay, says what became of it."""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thalweg.artifacts import Store
from thalweg.bus.captures import CaptureNotes
from thalweg.bus.connection import Client, NatsError, sync_of
from thalweg.bus.deployments import load_deployment
from thalweg.bus.heads import latest_commits, read_heads
from thalweg.bus.holds import remove_hold
from thalweg.errors import UnreachableError
from thalweg.replay.completeness import Completeness
from thalweg.replay.recorder import Recorder
from thalweg.replay.said import Port, Said
from thalweg.replay.windows import about_of, packed_spec, types_of
from thalweg.settings import Settings
from thalweg.wire import evidence
from thalweg.wire.capturing import ALL, Captured, captured_ports
from thalweg.wire.commit import Commit
from thalweg.wire.logged import Logged
from thalweg.wire.spec import DeploymentSpec
from thalweg_coordinator.capture.recording import HOLDER, Recording, StoppedError
from thalweg_coordinator.capture.uploading import RETRY_S, replay_path, until_wanted, upload

_log = logging.getLogger("thalweg.capture")


class Whole:
    """Keeps all of a log in one replay. Blocking: it reads what a former copy has left.

    Args:
        path: of the file.
        spec: what is captured.

    Raises:
        OSError: the file cannot be read or written.
    """

    def __init__(self, path: Path, spec: DeploymentSpec) -> None:
        self._types = types_of(spec)
        is_gapless = spec.capture == ALL
        self.recorder = Recorder(path, about_of(spec), packed_spec(spec), lambda *place: self._types.get(place), is_gapless=is_gapless)

    @property
    def next_sequence(self) -> int:
        """As `Keeper`, like all of these."""
        return self.recorder.next_sequence

    def add(self, message: Logged) -> None:
        """Records a message."""
        self.recorder.add(message)

    def sync(self) -> None:
        """Lets it reach the disk."""
        self.recorder.sync()

    def take_over(self, spec: DeploymentSpec) -> None:
        """Knows the ports of another generation, too."""
        self._types |= types_of(spec)

    async def reached(self, sequence: int) -> None:
        """Nobody else has to know."""


async def keep_whole(settings: Settings, client: Client, spec: DeploymentSpec) -> None:
    """Returns when it is told what became of it.

    Raises:
        ThalwegError, nats.errors.Error, OSError: the server is away; another copy goes on.
    """
    notes, path = CaptureNotes(client, spec), replay_path(settings.data, spec.name)
    try:
        whole = await asyncio.to_thread(Whole, path, spec)
    except OSError as error:
        _log.error("nothing can be captured: %s", error)
        await notes.tell(Captured(reason=f"it cannot be written: {error}"))
        await remove_hold(client, spec.workspace, spec.name, HOLDER)
        return
    reason: str | None = None
    try:
        await Recording(client, spec, notes, whole).run()
    except (OSError, StoppedError) as error:
        reason = str(error)
        _log.error("the capture stops here, and is incomplete: %s", reason)
        await until_wanted(notes)
    now = await load_deployment(client, spec.workspace, spec.name)  # it may have been redeployed, or promoted, meanwhile
    commits = await _last_commits(client, now)
    account = evidence.account(now, commits, sync_of(client, settings.nats_sync))
    found = await asyncio.to_thread(_seal, whole.recorder, now, commits, reason, account)
    captured = await upload(Store.of(settings, now.lease), path, found, reason)
    await notes.tell(captured)
    _log.info("%s: %d messages, %d bytes, %s", captured.artifact, captured.messages, captured.size_bytes, captured.reason or "complete")
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _log.info("it took %.2f s of CPU, and at most %d MiB of memory", time.process_time(), peak_kib >> 10)


def _seal(
    recorder: Recorder, spec: DeploymentSpec, commits: Mapping[str, Commit], reason: str | None, account: Mapping[str, Any]
) -> Completeness | None:
    counts = {(vertex, port): one.count for vertex, commit in commits.items() for port, one in commit.ports.items()}
    try:
        return recorder.seal(_written(recorder, spec, counts), reason, spec=packed_spec(spec), account=account)
    except OSError as error:
        _log.error("the replay stays without an end: %s", error)
        recorder.cut()
        return None


def _written(recorder: Recorder, spec: DeploymentSpec, counts: dict[Port, int]) -> dict[Port, int]:
    """Records of each captured port, as its vertex says.

    One that went back counts from an earlier count on: what it has written in all is added up from its commits.
    """
    went_back = {one.name for one in spec.vertices if one.rewind is not None}
    said = Said(is_window=False)
    for entry in recorder.entries() if went_back else ():
        said.add(entry)
    counted = said.written()
    found = {place: counted.get(place, 0) if place[0] in went_back else count for place, count in counts.items()}
    return {place: found[place] for place in captured_ports(spec) if place in found}


async def _last_commits(client: Client, spec: DeploymentSpec) -> dict[str, Commit]:
    """Of each vertex; waits for a server that is away."""
    while True:
        try:
            return latest_commits(await read_heads(client, spec.workspace, spec.name))
        except (UnreachableError, NatsError, OSError, TimeoutError):
            await asyncio.sleep(RETRY_S)
