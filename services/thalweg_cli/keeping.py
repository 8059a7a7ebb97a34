"""Puts what a run leaves under its lease: records of its files, its evidence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from thalweg.artifacts import ArtifactRecord, Store
from thalweg.artifacts.records import owner_of, put_key, record_of_logs, records_of_run
from thalweg.bus.buckets import Bucket
from thalweg.bus.connection import Client
from thalweg.client.kept_logs import keep_logs
from thalweg.graph.plan import PlannedVertex
from thalweg.sealed.evidence import signed
from thalweg.sealed.signatures import SigningKey
from thalweg.wire import subjects
from thalweg.wire.capturing import Captured
from thalweg.wire.commit import Commit
from thalweg.wire.evidence import Sync, build
from thalweg.wire.spec import DeploymentSpec


async def record_inputs(client: Client, spec: DeploymentSpec, planned: list[PlannedVertex]) -> None:
    """Records the files that were uploaded for a run."""
    records: dict[str, ArtifactRecord] = {}
    vertices = {one.name: one for one in spec.vertices}
    for one in planned:
        vertex = vertices[one.parts[0]]
        for slot, given in one.files.items():
            if isinstance(given, Path):
                file = vertex.files[slot]
                records[put_key(file.artifact, spec.lease)] = ArtifactRecord(
                    id=file.artifact,
                    type=one.manifest.file_schema[slot].type,
                    name=file.name,
                    size_bytes=file.size_bytes,
                    created=datetime.now(UTC),
                    owner=owner_of(spec.lease),
                )
    await _record(client, spec, records)


async def record_outputs(client: Client, spec: DeploymentSpec, commits: dict[str, Commit], captured: Captured | None = None) -> None:
    """Records the files that a run has generated, and its replay."""
    await _record(client, spec, records_of_run(spec, commits, datetime.now(UTC), captured))


async def _record(client: Client, spec: DeploymentSpec, records: Mapping[str, ArtifactRecord]) -> None:
    bucket = Bucket(client, subjects.bucket(spec.workspace, "artifacts"))
    await bucket.ensure()
    for key, record in records.items():
        await bucket.put(key, record.model_dump_json().encode(), None)


async def keep_evidence(
    client: Client,
    store: Store,
    key: SigningKey,
    spec: DeploymentSpec,
    commits: dict[str, Commit],
    captured: Captured | None,
    sync: Sync,
) -> bytes:
    """Signs and stores the evidence of a run that has come to its end; the document."""
    logs = await keep_logs(client, store, spec)
    if logs is not None:
        await _record(client, spec, record_of_logs(spec, logs, datetime.now(UTC)))
    body = signed(build(spec, commits, spec.name, time.time_ns(), sync, captured, logs), key)
    await asyncio.to_thread(store.put_bytes, body)
    bucket = Bucket(client, subjects.bucket(spec.workspace, "evidence"))
    await bucket.ensure()
    await bucket.put(subjects.owned_key(spec.name, spec.lease), body, None)
    return body


def write_evidence(home: Path, name: str, body: bytes) -> Path:
    """Writes a document into the data folder; its path."""
    path = home / "evidence" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(body)
    partial.replace(path)
    return path
