"""Reads the records of a fixture as a source would, and those that a port of a deployment has on its log; both within bounds."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError

from thalweg.artifacts import guess_type
from thalweg.artifacts.digests import hex_of
from thalweg.artifacts.records import ArtifactRecord
from thalweg.bus.bodies import bodies
from thalweg.bus.buckets import Bucket
from thalweg.bus.connection import Client
from thalweg.client.diagnosis.answering import answering
from thalweg.client.diagnosis.profiles import One
from thalweg.errors import RejectedError, RunFailedError, ThalwegError
from thalweg.runtime.program import Program
from thalweg.sdk.catalog import Catalog
from thalweg.sdk.release import ComponentRelease
from thalweg.sdk.values import At, Bad, Emit
from thalweg.wire import subjects
from thalweg.wire.batch import batch_decoder
from thalweg.wire.spec import DeploymentSpec, VertexSpec

MAX_RECORDS, MAX_BYTES = 5_000, 32 << 20
MAX_RECORDS_OF_ONE = 10  # runs that left the same file
ENOUGH = 200  # live records, before it is not waited for more
LOOK_S = 0.5
_SOURCES = {"csv": ("csv-source", "table"), "jsonl": ("jsonl-source", "lines"), "parquet": ("parquet-source", "table")}
_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode
_raw_batch = batch_decoder(msgspec.Raw)


async def kind_of(client: Client, workspace: str, artifact: str) -> str | None:
    """The type that an artifact is registered as; None for one that is not."""
    records = Bucket(client, subjects.bucket(workspace, "artifacts"))
    async with answering():
        keys = [hex_of(artifact), *(await records.keys(f"{hex_of(artifact)}.>"))[:MAX_RECORDS_OF_ONE]]
        found = await records.items(keys)
    for body in found.values():
        with suppress(ValidationError):
            return ArtifactRecord.model_validate_json(body).type
    return None


def read_fixture(path: Path, vertex: VertexSpec, kind: str | None = None) -> tuple[list[One], int]:
    """Records of a CSV, JSON lines or Parquet file, and how many pieces of it are none; at most 5,000 and 32 MiB. Blocks.

    The deployed source's own params are used where it reads files of that kind and they fit this one.

    Args:
        path: the file.
        vertex: the source that it stands in for.
        kind: `csv`, `jsonl` or `parquet` where that is known; else it is guessed.

    Raises:
        RejectedError: `fixture.unsupported`, or the file cannot be read (`file.invalid`, …).
    """
    kind = kind or guess_type(path)
    if kind not in _SOURCES:
        hint = "a fixture is a CSV, JSON lines or Parquet file, an artifact of one, or NAME/VERTEX.PORT of a deployment"
        raise RejectedError(f"{path.name}: records cannot be read from {kind}", code="fixture.unsupported", hint=hint)
    name, slot = _SOURCES[kind]
    catalog = Catalog()
    release = catalog.find(name, catalog.versions(name)[-1])
    assert release is not None
    if vertex.component.partition("@")[0] == name:
        try:
            return _read(release, slot, path, vertex.params)
        except ThalwegError:  # its time or columns are not in this file: the comparison says so
            pass
    return _read(release, slot, path, {})


def _read(release: ComponentRelease, slot: str, path: Path, given: dict[str, Any]) -> tuple[list[One], int]:
    params, faults = release.check_params(given)
    if faults:
        raise RejectedError(faults[0].message, code="params.invalid")
    outputs = release.resolve(params, {}, {slot: path})
    program = Program(release.component, "fixture", params, {}, outputs, {slot: path}, {})
    program.start()
    try:
        return _collect(islice(program.source(None), MAX_RECORDS), has_times=bool(params.get("time")))
    except ThalwegError:
        raise
    except Exception as error:  # whatever a library says of a damaged file
        raise RejectedError(f"{path.name}: {type(error).__name__}: {error}", code="file.invalid") from error
    finally:
        program.close()


def _collect(items: Any, *, has_times: bool) -> tuple[list[One], int]:
    found: list[One] = []
    faulty = size = 0
    for ordinal, item in enumerate(items):
        if isinstance(item, Bad):
            faulty += 1
            continue
        value, time_ns = (item.value, item.time_ns) if isinstance(item, At) else (item, None)
        body = _encode(value.value if isinstance(value, Emit) else value)
        found.append(One(_decode(body), len(body), time_ns if has_times else None, ordinal))
        size += len(body)
        if size > MAX_BYTES:
            break
    return found, faulty


async def read_live(client: Client, spec: DeploymentSpec, vertex: str, port: str, wait_s: float) -> list[One]:
    """Records that the log has of a port, oldest first, at most 5,000 and 32 MiB; waits a while for more where there are few.

    Raises:
        RejectedError: `deployment.unknown`, it has no log.
        UnreachableError: `nats.unreachable`.
    """
    try:
        async with answering(wait_s):
            return await _live(client, spec, vertex, port, wait_s)
    except RunFailedError as error:
        raise RejectedError(f"deployment {spec.name} has no log", code="deployment.unknown") from error


async def _live(client: Client, spec: DeploymentSpec, vertex: str, port: str, wait_s: float) -> list[One]:
    stream, subject = subjects.stream(spec.workspace, spec.name), subjects.port(spec.workspace, spec.name, vertex, port)
    found: list[One] = []
    known = next(one for one in spec.vertices if one.name == vertex)
    is_source = not known.inputs and not known.endpoint  # ids of records from outside do not count up one by one
    end, sequence, size = asyncio.get_running_loop().time() + wait_s, 1, 0
    while True:
        async for body in bodies(client, stream, subject, sequence):
            sequence = body.last + 1
            for one in _records(body.data, is_source=is_source):
                found.append(one)
                size += one.size_bytes
            if len(found) >= MAX_RECORDS or size >= MAX_BYTES:
                return found[:MAX_RECORDS]
        if len(found) >= ENOUGH or asyncio.get_running_loop().time() >= end:
            return found
        await asyncio.sleep(LOOK_S)


def _records(body: bytes | None, *, is_source: bool) -> list[One]:
    """A source's records are numbered by their ids; the log does not have all of them any more."""
    if body is None:
        return []
    batch = _raw_batch.decode(body)
    ids = batch.ids() if is_source else [None] * len(batch.v)
    return [One(_decode(raw), len(raw), time_ns, number) for raw, time_ns, number in zip(batch.v, batch.t, ids, strict=True)]
