"""Runs stored backends with a candidate release on this machine: archives and files are fetched, each vertex is a process of its own."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from thalweg.errors import RejectedError, ThalwegError
from thalweg.published import Environments, Sources
from thalweg.published.environment import end_group, plain_environment
from thalweg.published.requirements import read_requirements
from thalweg.testing.rehearsal import Outcome, rehearse_graph
from thalweg.testing.short_run import Job, Ran, decode_result, encode_job, messages_of

if TYPE_CHECKING:
    from thalweg.artifacts import Store
    from thalweg.wire.spec import VertexSpec

SOURCE_S, VERTEX_S, ALL_S = 20.0, 60.0, 600.0
MAX_FILE_BYTES = 1 << 30
MAX_RESULT_BYTES = 4 << 20


class Rehearsals:
    """Runs graphs for as long as there is time for all of them together.

    Args:
        store: where archives and bound files are.
        sources, environments: unpacked archives, and what those with requirements run in.
    """

    def __init__(self, store: Store, sources: Sources, environments: Environments) -> None:
        self._store, self._sources, self._environments = store, sources, environments
        self._end = time.monotonic() + ALL_S

    def run(self, pinned: list[VertexSpec], candidate: list[VertexSpec]) -> Outcome:
        """How one graph comes out; what it left is removed. Blocking."""
        with tempfile.TemporaryDirectory(prefix="thalweg-rehearsal-") as scratch:
            runner = _Runner(self, Path(scratch))
            try:
                return rehearse_graph(pinned, candidate, runner.run)
            except ThalwegError as error:
                return Outcome("not run", (str(error),))

    def folder_of(self, vertex: VertexSpec) -> Path | None:
        """Its release's unpacked archive; None for one that is installed."""
        return self._sources.folder_of(vertex.archive) if vertex.archive else None

    def python_for(self, folder: Path | None) -> str:
        """The interpreter that a release needs."""
        return self._environments.python_for(read_requirements(folder) if folder is not None else [])

    def files_of(self, vertex: VertexSpec) -> dict[str, str]:
        """Local copies of bound files.

        Raises:
            RejectedError: one is gone, or too large for a rehearsal.
        """
        found: dict[str, str] = {}
        for slot, file in vertex.files.items():
            if (self._store.stored_size(file.artifact) or 0) > MAX_FILE_BYTES:
                raise RejectedError(f"{vertex.name}: the file in slot {slot} is too large for a rehearsal", code="rehearsal.too_large")
            found[slot] = str(self._store.fetch(file.artifact, file.name))
        return found

    def left_s(self) -> float:
        """How long a vertex may take now.

        Raises:
            RejectedError: there is no time left.
        """
        left = min(VERTEX_S, self._end - time.monotonic())
        if left <= 0:
            raise RejectedError("the time of the rehearsal is over", code="rehearsal.timed_out")
        return left


class _Runner:
    def __init__(self, rehearsals: Rehearsals, scratch: Path) -> None:
        self._rehearsals, self._scratch, self._number = rehearsals, scratch, 0

    def run(self, vertex: VertexSpec, before: Mapping[str, Path]) -> tuple[Ran, Path]:
        self._number += 1
        out = self._scratch / f"{self._number}-{vertex.name}"
        folder = self._rehearsals.folder_of(vertex)
        inputs = {edge.key: str(messages_of(before[edge.src_vertex], edge.src_port)) for edge in vertex.inputs}
        job = Job(vertex, str(folder or ""), self._rehearsals.files_of(vertex), inputs, str(out), SOURCE_S)
        return _call(self._rehearsals.python_for(folder), encode_job(job), self._scratch, self._rehearsals.left_s()), out


def _call(python: str, job: bytes, home: Path, timeout_s: float) -> Ran:
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(
            [python, "-m", "thalweg.testing.short_run"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=told,
            cwd=home,
            start_new_session=True,
            env={**plain_environment(), "HOME": str(home)},
        )
        try:
            said, _ = process.communicate(job, timeout=timeout_s)
            return decode_result(said[:MAX_RESULT_BYTES])
        except subprocess.TimeoutExpired:
            return Ran(failure=f"does not come to its end in {timeout_s:.0f} s")
        except ValueError:
            told.seek(0)
            tail = told.read()[-2000:].decode(errors="replace").strip().splitlines()[-1:]
            return Ran(failure=": ".join(["its code ends the process", *tail]))
        finally:
            end_group(process)
