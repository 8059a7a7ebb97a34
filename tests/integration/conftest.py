"""A real nats-server and S3 server for the session, started from packages."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from integration.deploying import Place, start_place
from integration.releasing import numbers_of_names, wheel
from integration.secured import secure_everything
from thalweg.artifacts import Store
from thalweg.bus.connection import connect
from thalweg.bus.presence import wait_for_coordinator
from thalweg.client import Session, open_session
from thalweg.embedded import EmbeddedStack
from thalweg.settings import Settings
from thalweg_coordinator.service import Coordinator

if os.environ.get("THALWEG_TEST_SECURE"):
    secure_everything()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """nats-server and S3 from packages."""
    with EmbeddedStack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="session")
def settings(stack: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Of services that use the stack."""
    return Settings(
        nats_url=stack.nats_url,
        s3_endpoint=stack.s3_endpoint,
        s3_access_key=stack.s3_access_key,
        s3_secret_key=stack.s3_secret_key,
        data=tmp_path_factory.mktemp("data"),
    )


@pytest.fixture(scope="session")
def store(settings: Settings) -> Store:
    """The file store of the stack."""
    found = Store.of(settings)
    found.ensure_bucket()
    return found


@asynccontextmanager
async def coordinated(settings: Settings) -> AsyncIterator[Session]:
    """A session with a coordinator of its own in this process."""
    stop = asyncio.Event()
    running = asyncio.create_task(Coordinator(settings, None).run(stop))
    try:
        async with open_session(settings) as session:
            assert await wait_for_coordinator(session.client, settings.workspace, 60)
            yield session
    finally:
        stop.set()
        await running


@pytest.fixture
async def session(settings: Settings) -> AsyncIterator[Session]:
    """Asks a coordinator that cares for all deployments."""
    async with coordinated(settings) as found:
        yield found


@pytest.fixture
async def other_session(settings: Settings) -> AsyncIterator[Session]:
    """Asks while a second coordinator runs beside the first."""
    async with coordinated(settings) as found:
        yield found


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Servers and a coordinator, with the components of `deployed.py`."""
    for found in start_place(tmp_path_factory.mktemp("place")):
        coordinator = found.coordinator()
        yield found
        coordinator.terminate()
        coordinator.wait()


@pytest.fixture
def own_place(tmp_path: Path) -> Iterator[Place]:
    """For what kills its servers or coordinators."""
    yield from start_place(tmp_path)


@pytest.fixture
async def asking(place: Place) -> AsyncIterator[Session]:
    """Asks the coordinator of `place`."""
    async with open_session(place.settings) as session:
        assert await wait_for_coordinator(session.client, "default", 60)
        yield session


@pytest.fixture
def name() -> str:
    return f"numbers-{next(numbers_of_names)}"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip's own settings lead to one wheel and nothing else."""
    wheel(tmp_path)
    for variable, value in {"NO_INDEX": "1", "FIND_LINKS": str(tmp_path), "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{variable}", value)


@pytest.fixture
def environment(stack: EmbeddedStack, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A workspace with a coordinator of its own; pip finds one wheel and nothing else."""
    wheel(tmp_path)
    kept = {one: value for one, value in os.environ.items() if not one.startswith("THALWEG_")}
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    workspace = f"w{next(numbers_of_names)}-{os.getpid()}"
    variables = {**kept, **pip, **stack.environment(), "THALWEG_WORKSPACE": workspace, "THALWEG_DATA": str(tmp_path / "data")}
    (tmp_path / "coordinator.log").touch()
    with (tmp_path / "coordinator.log").open("wb") as log:
        service = subprocess.Popen([sys.executable, "-m", "thalweg_coordinator"], env=variables, stdout=log, stderr=log)

    async def is_up() -> bool:
        client = await connect(stack.nats_url, "test")
        try:
            return await wait_for_coordinator(client, workspace, 60)
        finally:
            await client.close()

    try:
        assert asyncio.run(is_up())
        yield variables
    finally:
        service.terminate()
        service.wait()
