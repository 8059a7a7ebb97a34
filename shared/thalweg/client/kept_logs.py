"""Keeps what the vertices of a run have logged as a file, beside its evidence."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import msgspec

from thalweg.artifacts import Store
from thalweg.bus.connection import Client, NatsError
from thalweg.bus.log_stream import NoLogStreamError
from thalweg.client.logs import Which, records
from thalweg.errors import RejectedError, UnreachableError
from thalweg.wire.log_record import KeptLogs
from thalweg.wire.spec import DeploymentSpec

MAX_KEPT_BYTES = 4 << 20


async def keep_logs(client: Client, store: Store, spec: DeploymentSpec) -> KeptLogs | None:
    """Stores the log records of a deployment since it was deployed, the oldest first, up to `MAX_KEPT_BYTES`; None where there are none.

    What vertices log is theirs to say and no part of what a run has to reproduce: records that cannot be read leave the run as it is.

    Raises:
        UnreachableError, RejectedError: the file store does not take it.
    """
    lines, size_bytes, is_whole = list[bytes](), 0, True
    which = Which(spec.name, since=datetime.fromtimestamp(spec.deployed_ns / 1e9, UTC))
    try:
        async for record in records(client, spec.workspace, which, follow=False):
            line = msgspec.json.encode(record) + b"\n"
            if size_bytes + len(line) > MAX_KEPT_BYTES:
                is_whole = False
                break
            lines.append(line)
            size_bytes += len(line)
    except (NoLogStreamError, RejectedError, UnreachableError, NatsError, OSError, TimeoutError):
        is_whole = False
    if not lines:
        return None
    artifact = await asyncio.to_thread(store.put_bytes, b"".join(lines))
    return KeptLogs(artifact.id, artifact.size_bytes, len(lines), is_whole)
