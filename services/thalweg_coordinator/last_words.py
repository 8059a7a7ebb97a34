"""The log record of a vertex's process that has died: how it ended, and the last lines of its output."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from thalweg.bus.connection import Client
from thalweg.bus.log_stream import publish_records
from thalweg.sealed.redaction import Redactor
from thalweg.wire import subjects
from thalweg.wire.log_record import LogRecord, encode_record
from thalweg.wire.spec import DeploymentSpec, VertexSpec


async def publish_last_words(
    client: Client, spec: DeploymentSpec, vertex: VertexSpec, what: str, tail: list[str], secrets: Iterable[str]
) -> None:
    """Appends the record.

    Args:
        client: NATS connection.
        spec, vertex: whose.
        what: how it ended.
        tail: last lines of its output.
        secrets: its secrets: a child process or a C library may have printed them.

    Raises:
        NoLogStreamError, RejectedError, UnreachableError: it was not stored.
    """
    redact = Redactor(secrets).text
    record = LogRecord(
        time_ns=time.time_ns(),
        level="error",
        logger="thalweg.coordinator",
        message=what,
        deployment=spec.name,
        vertex=vertex.name,
        generation=vertex.generation,
        exception="\n".join(["the last lines of its output:", *map(redact, tail)]) if tail else "",
    )
    subject = subjects.log(spec.workspace, spec.name, vertex.name)
    await publish_records(client, subject, os.urandom(6).hex(), [(1, encode_record(record))])
