"""Deploys stored backends by the API of a coordinator that is a process of its own, and waits for what becomes of them."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from thalweg.api import deployments as api
from thalweg.api import evidence as evidence_api
from thalweg.api.backends import APPLY, Apply
from thalweg.artifacts import Store
from thalweg.client import Session
from thalweg.embedded import EmbeddedStack
from thalweg.embedded.leftovers import process_of
from thalweg.sealed.evidence import check_signature
from thalweg.settings import Settings
from thalweg_cli.main import app

PARTS = Path(__file__).parent / "deployed.py"


DEADLINE_S = 60.0


names = (f"graph-{number}" for number in itertools.count())


@dataclass
class Place:
    """Servers with coordinators as processes of their own."""

    stack: EmbeddedStack
    settings: Settings

    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.stack.environment(), "THALWEG_DATA": str(self.settings.data), "THALWEG_COMPONENTS": str(PARTS)}

    def coordinator(self) -> subprocess.Popen[bytes]:
        with (self.settings.data / "coordinator.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", "thalweg_coordinator"], env=self.environment(), stdout=log, stderr=log)

    def store(self) -> Store:
        given = self.settings
        return Store(
            given.s3_endpoint,
            given.s3_bucket,
            given.s3_access_key,
            given.s3_secret_key,
            given.workspace,
            given.data / "cache",
            patience_s=1,
        )

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "thalweg_cli", *words],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def here(self, *words: str) -> Result:
        """The same in this process, which need not import everything first."""
        return CliRunner().invoke(app, words, env={**self.stack.environment(), "THALWEG_DATA": str(self.settings.data)})

    def pid(self, deployment: str, vertex: str) -> int | None:
        process = process_of(self.settings.data / "vertices" / deployment / f"{vertex}.json")
        return process.pid if process is not None else None


def start_place(folder: Path) -> Iterator[Place]:
    with EmbeddedStack(folder) as stack:
        found = Place(
            stack,
            Settings(
                nats_url=stack.nats_url,
                s3_endpoint=stack.s3_endpoint,
                s3_access_key=stack.s3_access_key,
                s3_secret_key=stack.s3_secret_key,
                data=folder,
            ),
        )
        yield found


async def store_backend(session: Session, vertices: dict[str, Any], *edges: str, name: str | None = None, **more: Any) -> str:
    name = name or next(names)
    document = {"backend": name, "vertices": vertices, "edges": list(edges), **more}
    found = await session.ask(APPLY, Apply(backend=name, author="ada", document=document))
    assert found.deployable, found.faults
    return name


async def store_lines(session: Session, count: int, pause_s: float = 0.0, **more: Any) -> str:
    """A backend: numbers, tagged, in a file of lines."""
    vertices = {
        "numbers": {"component": "numbers@1.0.0", "params": {"count": count, "pause_s": pause_s}},
        "tag": {"component": "tag@1.0.0", "params": {"tag": 1}},
        "lines": {"component": "jsonl-file@1.0.0"},
    }
    return await store_backend(session, vertices, "numbers.out -> tag.in", "tag.out -> lines.in", **more)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def status_of(session: Session, name: str) -> api.DeploymentStatus:
    return (await session.ask(api.STATUS, api.MaybeNamed(name=name))).deployments[0]


async def when(
    session: Session, name: str, good: Callable[[dict[str, api.VertexStatus], api.DeploymentStatus], bool]
) -> api.DeploymentStatus:
    async def is_good() -> bool:
        found = await status_of(session, name)
        assert found.state != "failed" or good({}, found), found
        return good({one.vertex: one for one in found.vertices}, found)

    await until(is_good)
    return await status_of(session, name)


def has(vertex: str, count: int) -> Callable[[dict[str, api.VertexStatus], api.DeploymentStatus], bool]:
    return lambda vertices, whole: vertex in vertices and vertices[vertex].records_in >= count


async def undeploy(session: Session, name: str, discard: bool = False) -> api.Report:
    await session.ask(api.UNDEPLOY, api.Undeploy(name=name, discard=discard))
    found = await when(session, name, lambda vertices, whole: whole.report is not None)
    assert found.report is not None
    return found.report


def read_lines(place: Place, report: api.Report) -> list[dict[str, int]]:
    (kept,) = (one for one in report.generated if one.vertex == "lines")
    return [json.loads(line) for line in place.store().fetch(kept.artifact, kept.name).read_text().splitlines()]


async def evidence_of(session: Session, report: api.Report) -> dict[str, Any]:
    assert report.evidence is not None
    found = await session.ask(evidence_api.SHOW, evidence_api.WhichEvidence(id=report.evidence))
    check_signature(found.document, found.key)
    return found.document
