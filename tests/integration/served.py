"""Servers with a coordinator and, where it is asked for, a gateway, each a process of its own, as people run them."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from thalweg.api import deployments as api
from thalweg.api.backends import APPLY, Apply
from thalweg.api.endpoints import ROTATE, Rotate
from thalweg.bus.presence import wait_for_coordinator
from thalweg.client import Session, open_session
from thalweg.embedded import EmbeddedStack
from thalweg.embedded.leftovers import end_leftovers
from thalweg.embedded.servers import free_ports
from thalweg.settings import Settings

PARTS = Path(__file__).with_name("boundary_parts.py")
DEADLINE_S = 60.0
_names = (f"served-{number}" for number in itertools.count())


@dataclass
class Servers:
    """Where they are, and what processes there find of components."""

    settings: Settings
    parts: Path = PARTS

    @property
    def environment(self) -> dict[str, str]:
        """Of a process that uses them."""
        names = "nats_url", "replicas", "s3_endpoint", "s3_access_key", "s3_secret_key", "data"
        given = {f"THALWEG_{name.upper()}": str(getattr(self.settings, name)) for name in names}
        return {**os.environ, **given, "THALWEG_COMPONENTS": str(self.parts)}

    @contextmanager
    def process(self, module: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """A service, ended with the block."""
        with (self.settings.data / f"{module}.log").open("ab") as log:
            started = subprocess.Popen([sys.executable, "-m", module, *words], env=self.environment, stdout=log, stderr=log)
        try:
            yield started
        finally:
            started.terminate()
            started.wait()

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command, run to its end."""
        command = [sys.executable, "-m", "thalweg_cli", *words]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """An open line to the coordinator."""
        async with open_session(self.settings) as found:
            assert await wait_for_coordinator(found.client, self.settings.workspace, DEADLINE_S)
            yield found

    @asynccontextmanager
    async def tidied_session(self) -> AsyncIterator[Session]:
        """The same; whatever is deployed at its end is discarded."""
        async with self.session() as found:
            yield found
            for one in (await found.ask(api.STATUS, api.MaybeNamed())).deployments:
                await found.ask(api.UNDEPLOY, api.Undeploy(name=one.name, discard=True))


@dataclass
class Served(Servers):
    """Those of an embedded stack."""

    stack: EmbeddedStack = field(kw_only=True)


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """Servers and a coordinator over a new folder."""
    with EmbeddedStack(folder) as stack:
        settings = Settings(
            nats_url=stack.nats_url,
            s3_endpoint=stack.s3_endpoint,
            s3_access_key=stack.s3_access_key,
            s3_secret_key=stack.s3_secret_key,
            data=folder,
        )
        found = Served(settings, stack=stack)
        try:
            with found.process("thalweg_coordinator"):
                yield found
        finally:  # not before the coordinator has ended: it would start them again
            end_leftovers((folder / "vertices").glob("*/*.json"))


@contextmanager
def gateway_process(place: Served, port: int, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A gateway on a port, once it answers."""
    with place.process("thalweg_gateway", "--port", str(port), *words) as started:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=1)
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline, (place.settings.data / "thalweg_gateway.log").read_text()
        yield started


@contextmanager
def gateway_of(place: Served, *words: str) -> Iterator[str]:
    """A gateway; its address."""
    (port,) = free_ports(1)
    with gateway_process(place, port, *words):
        yield f"http://127.0.0.1:{port}"


async def token_for(session: Session, backend: str, name: str, grace_s: float = 3600.0) -> str:
    """A new token of an endpoint."""
    return (await session.ask(ROTATE, Rotate(backend=backend, name=name, grace_s=grace_s))).token


async def deploy(
    session: Session, vertices: dict[str, Any], *edges: str, backend: str | None = None, lease: str | None = None, **more: Any
) -> str:
    """Stores a backend under a new name, and deploys it; both under a lease where one is given."""
    name = backend or next(_names)
    document = {"backend": name, "vertices": vertices, "edges": list(edges), **more}
    found = await session.ask(APPLY, Apply(backend=name, author="ada", document=document, lease=lease))
    assert found.deployable, found.faults
    await session.ask(api.DEPLOY, api.Deploy(backend=name, lease=lease))
    return name


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Waits for it."""
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def vertices_of(session: Session, name: str) -> dict[str, api.VertexStatus]:
    """The vertices of a deployment, none of which has failed."""
    (found,) = (await session.ask(api.STATUS, api.MaybeNamed(name=name))).deployments
    assert found.state != "failed", found
    return {one.vertex: one for one in found.vertices}


async def until_running(session: Session, name: str) -> None:
    """Waits until every vertex runs."""

    async def is_running() -> bool:
        found = await vertices_of(session, name)
        return bool(found) and all(one.state == "running" for one in found.values())

    await until(is_running)
