"""`python -m thalweg.testing.short_run`: runs one vertex in memory over messages of files, a job as JSON in, a result as JSON out.

A process of its own for each vertex: each has its release's environment, and modules of two releases may have the same names.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from thalweg.artifacts.digests import digest_of
from thalweg.errors import RejectedError, ThalwegError
from thalweg.graph.parse import parse_type
from thalweg.published.loading import load_published
from thalweg.runtime.assemble import assemble
from thalweg.runtime.engine import Engine, Limits
from thalweg.runtime.inputs import Message
from thalweg.runtime.spool import Spool
from thalweg.sdk.catalog import load_release
from thalweg.wire.spec import VertexSpec

MAX_WRITTEN_BYTES = 1 << 30


class Job(msgspec.Struct, frozen=True):
    """What to run.

    Attributes:
        spec: the vertex.
        archive: folder of its unpacked release; "" for one that is installed here.
        files: path by slot.
        inputs: path of the messages of an edge, by its key.
        out: folder that is made, for messages by port and generated files.
        for_s: a source ends behind the record that it gives then.
    """

    spec: VertexSpec
    archive: str
    files: dict[str, str]
    inputs: dict[str, str]
    out: str
    for_s: float


class Ran(msgspec.Struct, frozen=True):
    """What came of it: count and digest by port, digest by slot, or why it failed; `is_cut`: a source was ended by the clock."""

    ports: dict[str, tuple[int, str]] = {}
    generated: dict[str, str] = {}
    failure: str | None = None
    is_cut: bool = False


def messages_of(out: Path, port: str) -> Path:
    """Where a job leaves the messages of a port."""
    return out / f"{port}.messages"


def main() -> None:
    """Runs the job on standard input. What the code prints goes nowhere near the result."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_WRITTEN_BYTES, MAX_WRITTEN_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    result = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    result.write(msgspec.json.encode(_run(msgspec.json.decode(sys.stdin.buffer.read(), type=Job))))
    result.flush()


def _run(job: Job) -> Ran:
    try:
        return _Work(job).run()
    except ThalwegError as error:
        return Ran(failure=str(error))
    except (Exception, SystemExit) as error:  # whatever the author's code raises
        return Ran(failure=f"{type(error).__name__}: {error}")


class _Work:
    def __init__(self, job: Job) -> None:
        self._job, self._out = job, Path(job.out)
        self._out.mkdir(parents=True)
        self._spools = {port: Spool(messages_of(self._out, port)) for port in job.spec.outputs}
        self._counts = dict.fromkeys(job.spec.outputs, 0)
        self._ports: dict[str, tuple[int, str]] = {}

    def run(self) -> Ran:
        engine, is_cut = self._engine(), False
        try:
            for message in self._arriving():
                engine.offer(message)
            end = time.monotonic() + self._job.for_s
            while not engine.finished and engine.failure is None:
                engine.step()
                self._take(engine)
                if not engine.edges and time.monotonic() > end and not engine.finished:
                    engine.drain()
                    is_cut = True
            self._take(engine)
        finally:
            engine.program.close()
            for spool in self._spools.values():
                spool.close()
        if engine.failure is not None:
            return Ran(failure=engine.failure.message)
        return Ran(self._ports, {slot: digest_of(path).id for slot, path in self._paths.items() if path.exists()}, is_cut=is_cut)

    def _engine(self) -> Engine:
        job, spec = self._job, self._job.spec
        release = load_published(spec.component, Path(job.archive), spec.code) if job.archive else load_release(spec.component, spec.code)
        if release.manifest.digest != spec.digest:
            raise RejectedError(f"{spec.component} is pinned as {spec.digest[:19]}…, but the code here is {release.manifest.digest[:19]}…")
        self._paths = {slot: self._out / "generated" / slot / name for slot, name in spec.generated.items()}
        for path in self._paths.values():
            path.parent.mkdir(parents=True)
        files = {slot: Path(path) for slot, path in job.files.items()}
        engine = assemble(spec, release, files, self._paths, Limits(), parse_type)
        engine.restore(None, None)
        return engine

    def _arriving(self) -> Iterator[Message]:
        for edge in self._job.spec.inputs:
            for one in Spool(Path(self._job.inputs[edge.key])).replay():
                yield Message(edge.key, one.first, one.last, one.body, one.watermark, one.ended)

    def _take(self, engine: Engine) -> None:
        if not engine.needs_commit():
            return
        cut = engine.cut()
        for port, body in cut.parts:
            if port in self._spools:
                self._counts[port] += 1
                number = self._counts[port]
                self._spools[port].append(Message(port, number, number, body, cut.commit.promised, cut.commit.ended))
        self._ports = {name: (stored.count, stored.digest) for name, stored in cut.commit.ports.items()}


def encode_job(job: Job) -> bytes:
    """What the process reads."""
    return msgspec.json.encode(job)


def decode_result(said: bytes) -> Ran:
    """What the process has said.

    Raises:
        ValueError: it is no result.
    """
    found: Any = json.loads(said)
    return msgspec.convert(found, Ran)


if __name__ == "__main__":
    main()
