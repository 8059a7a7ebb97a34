"""Keeps the evidence of a run: in the file store, in the workspace's list, as a file of the data folder."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from thalweg.artifacts import Store
from thalweg.bus.buckets import Bucket
from thalweg.bus.connection import Client
from thalweg.sealed.evidence import signed
from thalweg.sealed.signatures import SigningKey
from thalweg.wire import subjects
from thalweg.wire.commit import Commit
from thalweg.wire.evidence import build
from thalweg.wire.spec import DeploymentSpec


async def keep_evidence(
    client: Client, store: Store, key: SigningKey, spec: DeploymentSpec, commits: dict[str, Commit], home: Path
) -> Path:
    """Signs and stores the evidence of a run that has come to its end; the path of its file."""
    body = signed(build(spec, commits, spec.name, time.time_ns()), key)
    await asyncio.to_thread(store.put_bytes, body)
    bucket = Bucket(client, subjects.bucket(spec.workspace, "evidence"))
    await bucket.ensure()
    await bucket.put(spec.name, body, None)
    path = home / "evidence" / f"{spec.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(body)
    partial.replace(path)
    return path
