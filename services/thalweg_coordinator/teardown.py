"""The end of a deployment: what it leaves is saved, then it is removed; every step may be repeated by another coordinator."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec

from thalweg.api.deployments import Kept, KeptReplay, Outcome, Report
from thalweg.artifacts import Store
from thalweg.artifacts.records import ArtifactRecord, record_of_logs, records_of_run
from thalweg.bus import deployments
from thalweg.bus.buckets import Bucket, StaleWriteError
from thalweg.bus.captures import SEAL_TIMEOUT_S, CaptureNotes
from thalweg.bus.connection import Client, sync_of
from thalweg.client.kept_logs import keep_logs
from thalweg.errors import RunFailedError, ThalwegError
from thalweg.sealed.evidence import signed
from thalweg.sealed.signatures import SigningKey
from thalweg.settings import DeclaredSync
from thalweg.wire import evidence, subjects
from thalweg.wire.capturing import NONE, Captured
from thalweg.wire.commit import Commit
from thalweg.wire.spec import DeploymentSpec, has_ended, is_failed

FIRST_PAUSE_S, LAST_PAUSE_S = 0.2, 10.0


class Teardown:
    """Saves what deployments leave, then removes them.

    Args:
        client: NATS connection.
        workspace: whose.
        store: where generated files are, and where evidence goes.
        key: signs evidence.
        declared: of the server that holds the logs, as `Settings.nats_sync`.
    """

    def __init__(self, client: Client, workspace: str, store: Store, key: SigningKey, declared: DeclaredSync | None) -> None:
        self._client, self._store, self._key, self._declared = client, store, key, declared
        self._reports, self._evidence, self._artifacts = (
            Bucket(client, subjects.bucket(workspace, kind)) for kind in ("reports", "evidence", "artifacts")
        )
        self._not_before: dict[str, tuple[float, float]] = {}
        self._sealing_since: dict[tuple[str, int], float] = {}

    async def ensure(self) -> None:
        """Makes its buckets."""
        for bucket in (self._reports, self._evidence, self._artifacts):
            await bucket.ensure()

    async def finish(self, spec: DeploymentSpec, commits: Mapping[str, Commit]) -> None:
        """Saves everything, then removes the deployment; tried again with growing pauses by the next calls.

        In this order: the capture has come to its end, the files are in the store, their records, the evidence, the report, and only
        then the spec and the log go.

        Raises:
            ThalwegError: something could not be saved; nothing was removed.
        """
        not_before, pause_s = self._not_before.get(spec.name, (0.0, FIRST_PAUSE_S))
        if time.monotonic() < not_before:
            return
        try:
            is_sealed, captured = await self._capture_of(spec)
            if not is_sealed:
                return
            await asyncio.to_thread(self._store.ensure_bucket)
            await self._check_stored(self._store.of_lease(spec.lease), commits)
            await self._record_files(spec, commits, captured)
            kept = await self._keep_evidence(spec, commits, captured)
            outcome: Outcome = "finished" if spec.has_ended(commits) else "failed"
            await self._report(spec, commits, outcome, kept, captured)
        except ThalwegError:
            self._not_before[spec.name] = time.monotonic() + pause_s, min(2 * pause_s, LAST_PAUSE_S)
            raise
        self._not_before.pop(spec.name, None)
        self._sealing_since.pop((spec.name, spec.deployed_ns), None)
        await deployments.delete_deployment(self._client, spec.workspace, spec.name)

    async def discard(self, spec: DeploymentSpec, commits: Mapping[str, Commit]) -> None:
        """Removes a deployment with all that it has left."""
        await self._report(spec, commits, "discarded", None)
        await deployments.delete_deployment(self._client, spec.workspace, spec.name)

    async def _check_stored(self, store: Store, commits: Mapping[str, Commit]) -> None:
        for commit in commits.values():
            for generated in commit.generated.values():
                if not await asyncio.to_thread(store.exists, generated.artifact):
                    raise RunFailedError(f"{generated.artifact} is not in the store", code="artifact.unknown")

    async def _capture_of(self, spec: DeploymentSpec) -> tuple[bool, Captured | None]:
        """Whether the capture has come to its end, and what became of it; one that takes too long is not waited for."""
        if spec.capture == NONE:
            return True, None
        since = self._sealing_since.setdefault((spec.name, spec.deployed_ns), time.monotonic())
        notes = CaptureNotes(self._client, spec)
        await notes.ask()
        found = await notes.result()
        if found is None and time.monotonic() - since > SEAL_TIMEOUT_S:
            found = Captured(reason=f"it had not come to its end after {SEAL_TIMEOUT_S:g} s")
        return found is not None, found

    async def _record_files(self, spec: DeploymentSpec, commits: Mapping[str, Commit], captured: Captured | None) -> None:
        await self._record(records_of_run(spec, commits, datetime.now(UTC), captured))

    async def _record(self, records: Mapping[str, ArtifactRecord]) -> None:
        for key, record in records.items():
            await self._artifacts.put(key, record.model_dump_json().encode(), None)

    async def _keep_evidence(self, spec: DeploymentSpec, commits: Mapping[str, Commit], captured: Captured | None) -> str:
        """The document's id. The first copy that is stored stands: a coordinator that repeats the step makes no second one."""
        stamp = datetime.fromtimestamp(spec.deployed_ns / 1e9, UTC).strftime("%Y%m%d-%H%M%S")
        evidence_id = f"{spec.name[:40]}-{stamp}-{spec.deployed_ns % 10**6:06d}"
        key, store = subjects.owned_key(evidence_id, spec.lease), self._store.of_lease(spec.lease)
        body = stored = (await self._evidence.get(key)).value
        if body is None:
            logs = await keep_logs(self._client, store, spec)
            if logs is not None:
                await self._record(record_of_logs(spec, logs, datetime.now(UTC)))
            document = evidence.build(spec, commits, evidence_id, time.time_ns(), sync_of(self._client, self._declared), captured, logs)
            body = signed(document, self._key)
        await asyncio.to_thread(store.put_bytes, body)
        if stored is None:
            with suppress(StaleWriteError):
                await self._evidence.put(key, body, 0)
        return evidence_id

    async def _report(
        self, spec: DeploymentSpec, commits: Mapping[str, Commit], outcome: Outcome, kept: str | None, captured: Captured | None = None
    ) -> None:
        report = make_report(spec, commits, outcome, kept, time.time_ns(), captured)
        await self._reports.put(subjects.owned_key(spec.name, spec.lease), report.model_dump_json().encode(), None)


def make_report(
    spec: DeploymentSpec,
    commits: Mapping[str, Commit],
    outcome: Outcome,
    kept: str | None,
    now_ns: int,
    captured: Captured | None = None,
) -> Report:
    """What a teardown says."""
    failures = [commits[one.name].failure for one in spec.vertices if is_failed(one, commits.get(one.name))]
    return Report(
        name=spec.name,
        backend=spec.backend,
        revision=spec.revision,
        generation=spec.generation,
        deployed_ns=spec.deployed_ns,
        time_ns=now_ns,
        outcome=outcome,
        generated=[
            Kept(vertex=vertex, slot=slot, name=one.name, artifact=one.artifact, size_bytes=one.size_bytes)
            for vertex, commit in sorted(commits.items())
            for slot, one in sorted(commit.generated.items())
            if outcome != "discarded"
        ],
        missing=[f"{vertex}.{slot}" for vertex, commit in sorted(commits.items()) for slot in commit.missing],
        undeclared=[f"{vertex}: {path}" for vertex, commit in sorted(commits.items()) for path in commit.undeclared],
        unfinished=[one.name for one in spec.vertices if not has_ended(one, commits.get(one.name))],
        failure=next((one.message for one in failures if one is not None), None),
        evidence=kept,
        replay=KeptReplay(**msgspec.structs.asdict(captured)) if captured is not None else None,
    )


class Records:
    """Reads what teardowns have written.

    Args:
        client: NATS connection.
        workspace: whose.
    """

    def __init__(self, client: Client, workspace: str) -> None:
        self._reports, self._evidence = (Bucket(client, subjects.bucket(workspace, kind)) for kind in ("reports", "evidence"))

    async def report(self, name: str) -> Report | None:
        """The newest of a name."""
        found = [Report.model_validate_json(body) for body in await _of_all_owners(self._reports, name)]
        return max(found, key=lambda one: one.time_ns, default=None)

    async def evidence(self, evidence_id: str) -> dict[str, Any] | None:
        """A signed document."""
        found = await _of_all_owners(self._evidence, evidence_id)
        return dict(json.loads(found[0])) if found else None

    async def all_evidence(self) -> list[dict[str, Any]]:
        """All signed documents, oldest first."""
        found = [dict(json.loads(body)) for body in (await self._evidence.items()).values()]
        return sorted(found, key=lambda one: (one["finished_ns"], one["id"]))


async def _of_all_owners(bucket: Bucket, name: str) -> list[bytes]:
    """The values of a name: the workspace's, then those of leases."""
    found = await bucket.items([name, *await bucket.keys(f"{name}.*")])
    return list(found.values())
