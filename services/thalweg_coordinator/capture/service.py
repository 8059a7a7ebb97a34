"""Captures a deployment from its first message to the end, uploads the replay, says what became of it."""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from thalweg.bus.captures import CaptureNotes
from thalweg.bus.connection import Client, NatsError, connect, sync_of
from thalweg.bus.deployments import load_deployment, log_state
from thalweg.bus.heads import latest_commits, read_heads
from thalweg.bus.holds import remove_hold
from thalweg.errors import RejectedError, ThalwegError, UnreachableError, UsageError
from thalweg.replay.completeness import Completeness
from thalweg.replay.recorder import Recorder
from thalweg.runtime.tasks import end_tasks
from thalweg.settings import Settings
from thalweg.wire import evidence
from thalweg.wire.capturing import ALL, NONE, Captured, captured_ports
from thalweg.wire.commit import Commit
from thalweg.wire.spec import DeploymentSpec
from thalweg_coordinator.capture.recording import HOLDER, Recording, StoppedError

if TYPE_CHECKING:
    from thalweg.artifacts import Store

_log = logging.getLogger("thalweg.capture")
CHECK_S = 2.0
RETRY_S = 3.0
FILE_NAME = "replay.mcap"


async def capture(settings: Settings, deployment: str) -> None:
    """Returns when it is told what became of the capture, or the deployment is gone.

    Raises:
        UsageError, UnreachableError: as `connect`.
    """
    if settings.nats_url is None:
        raise UsageError("THALWEG_NATS_URL is not set", code="settings.missing")
    client = await connect(settings.nats_url, f"{deployment} capture")
    try:
        spec = await _spec(client, settings, deployment)
        if spec is None or spec.capture == NONE or await CaptureNotes(client, spec).result() is not None:
            return
        working = asyncio.create_task(_capture(settings, client, spec))
        watching = asyncio.create_task(_until_unwanted(client, spec))
        try:
            done, _ = await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
        finally:
            await end_tasks(working, watching)
    finally:
        await client.close()


async def _spec(client: Client, settings: Settings, deployment: str) -> DeploymentSpec | None:
    try:
        return await load_deployment(client, settings.workspace, deployment)
    except RejectedError as error:
        if error.code == "deployment.unknown":
            return None
        raise


async def _capture(settings: Settings, client: Client, spec: DeploymentSpec) -> None:
    notes, path = CaptureNotes(client, spec), replay_path(settings.data, spec.name)
    try:
        recorder = await asyncio.to_thread(recorder_of, path, spec)
    except OSError as error:
        _log.error("nothing can be captured: %s", error)
        await notes.tell(Captured(reason=f"it cannot be written: {error}"))
        await remove_hold(client, spec.workspace, spec.name, HOLDER)
        return
    reason: str | None = None
    try:
        await Recording(client, spec, notes, recorder).run()
    except (OSError, StoppedError) as error:
        reason = str(error)
        _log.error("the capture stops here, and is incomplete: %s", reason)
        await _until_wanted(notes)
    now = await load_deployment(client, spec.workspace, spec.name)  # it may have been redeployed, or promoted, meanwhile
    commits = await _last_commits(client, spec)
    account = evidence.account(now, commits, sync_of(client))
    found = await asyncio.to_thread(_seal, recorder, _written(now, commits), reason, account)
    from thalweg.artifacts import Store  # boto3 and all: not while vertices start

    captured = await _upload(Store.of(settings, now.lease), path, found, reason)
    await notes.tell(captured)
    _log.info("%s: %d messages, %d bytes, %s", captured.artifact, captured.messages, captured.size_bytes, captured.reason or "complete")
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _log.info("it took %.2f s of CPU, and at most %d MiB of memory", time.process_time(), peak_kib >> 10)


def replay_path(data: Path, deployment: str) -> Path:
    """Where a replay is written: with what the deployment's vertices keep beside the log, so that it goes with that."""
    return data / "scratch" / deployment / "_capture" / FILE_NAME


def recorder_of(path: Path, spec: DeploymentSpec) -> Recorder:
    """The recorder of a deployment. Blocking: it reads what a former copy has left."""
    types = {(one.name, port): kind for one in spec.vertices for port, kind in one.outputs.items()}
    about = {
        "format": "thalweg-replay/1",
        "workspace": spec.workspace,
        "deployment": spec.name,
        "backend": spec.backend,
        "revision": str(spec.revision),
        "graph_digest": spec.graph_digest,
        "deployed_ns": str(spec.deployed_ns),
        "capture": spec.capture,
    }
    pinned = msgspec.json.encode(msgspec.structs.replace(spec, desired="running"))
    return Recorder(path, about, pinned, lambda vertex, port: types.get((vertex, port)), is_gapless=spec.capture == ALL)


def _seal(recorder: Recorder, written: dict[tuple[str, str], int], reason: str | None, account: dict[str, Any]) -> Completeness | None:
    try:
        return recorder.seal(written, reason, account)
    except OSError as error:
        _log.error("the replay stays without an end: %s", error)
        recorder.cut()
        return None


async def _last_commits(client: Client, spec: DeploymentSpec) -> dict[str, Commit]:
    """Of each vertex; waits for a server that is away."""
    while True:
        try:
            return latest_commits(await read_heads(client, spec.workspace, spec.name))
        except (UnreachableError, NatsError, OSError, TimeoutError):
            await asyncio.sleep(RETRY_S)


def _written(spec: DeploymentSpec, commits: Mapping[str, Commit]) -> dict[tuple[str, str], int]:
    """Records of each captured port, as its vertex says.

    Not of vertices that went back: the log has what they did before as well, and their counts have not.
    """
    found: dict[tuple[str, str], int] = {}
    went_back = {one.name for one in spec.vertices if one.rewind is not None}
    for vertex, port in captured_ports(spec):
        if vertex not in went_back and vertex in commits and port in commits[vertex].ports:
            found[vertex, port] = commits[vertex].ports[port].count
    return found


async def _upload(store: Store, path: Path, found: Completeness | None, reason: str | None) -> Captured:
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
    return Captured(artifact.id, artifact.size_bytes, is_complete, why, messages)


async def _until_wanted(notes: CaptureNotes) -> None:
    while await notes.wanted() is None:  # noqa: ASYNC110
        await asyncio.sleep(CHECK_S)


async def _until_unwanted(client: Client, spec: DeploymentSpec) -> None:
    """Returns when the deployment or its log was gone twice running, or there is another one of that name."""
    gone_count, first_log = 0, ""
    while gone_count < 2:
        await asyncio.sleep(CHECK_S)
        try:
            now = await load_deployment(client, spec.workspace, spec.name)
            state = await log_state(client, spec.workspace, spec.name)
        except RejectedError as error:
            gone_count += error.code == "deployment.unknown"
            continue
        except (UnreachableError, NatsError, OSError, TimeoutError):
            continue
        first_log = first_log or (state[0] if state is not None else "")
        is_same = state is not None and state[0] == first_log and now.deployed_ns == spec.deployed_ns
        gone_count = 0 if is_same else gone_count + 1
    _log.info("nobody wants this capture any more")
