"""`thalweg run`: brings the stack up where none is given, uploads, deploys, follows, saves what was generated, cleans up."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import uvloop
from rich.console import Console

from thalweg.artifacts import Store
from thalweg.bus.connection import Client, connect
from thalweg.bus.deployments import delete_deployment, ensure_bucket, store_deployment
from thalweg.client.runs import dead_letters, follow, wait_for_log
from thalweg.embedded import EmbeddedStack, ManagedProcess
from thalweg.errors import ThalwegError
from thalweg.graph.plan import Plan, PlannedVertex
from thalweg.graph.types import format_type
from thalweg.settings import Settings
from thalweg.wire.commit import Commit
from thalweg.wire.spec import DeploymentSpec, EdgeSpec, FileSpec, VertexSpec
from thalweg_cli.progress import Progress
from thalweg_cli.reach import reach
from thalweg_cli.summary import Saved, Summary


def run_pipeline(settings: Settings, plan: Plan, out: Path, *, keep: bool, quiet: bool) -> Summary:
    """Runs a faultless plan to its end.

    Args:
        settings: servers to use; the embedded stack is brought up for those that are not given.
        plan: what to run.
        out: folder for the generated files.
        keep: leave the deployment's log in place.
        quiet: show no progress.

    Raises:
        RunFailedError: a vertex failed.
        UnreachableError: a server does not answer.
    """
    name = f"{plan.pipeline.backend[:40]}-{os.urandom(4).hex()}"
    with _stack(settings, name) as ready:
        return uvloop.run(_run(ready, plan, name, out, keep, Progress(plan, None if quiet else Console(stderr=True))))


@contextmanager
def _stack(settings: Settings, deployment: str) -> Iterator[Settings]:
    """The servers of a run, and a coordinator that cares for its deployment alone."""
    data = settings.data.resolve()
    settings = settings.model_copy(update={"data": data})
    has_coordinator = settings.nats_url is not None and uvloop.run(reach(settings))
    if settings.nats_url is not None and settings.s3_endpoint is not None:
        with nullcontext() if has_coordinator else _coordinator(settings, deployment):
            yield settings
        return
    with EmbeddedStack(data) as stack:
        update = {"nats_url": settings.nats_url or stack.nats_url}
        if settings.s3_endpoint is None:
            update |= {"s3_endpoint": stack.s3_endpoint, "s3_access_key": stack.s3_access_key, "s3_secret_key": stack.s3_secret_key}
        settings = settings.model_copy(update=update)
        with nullcontext() if has_coordinator else _coordinator(settings, deployment):
            yield settings


@contextmanager
def _coordinator(settings: Settings, deployment: str) -> Iterator[None]:
    (settings.data / "logs").mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "thalweg_coordinator", "--only", deployment]
    process = ManagedProcess(
        "coordinator",
        command,
        {**os.environ, **_environment(settings)},
        settings.data / "logs" / "coordinator.log",
        pid_path=settings.data / f"coordinator-{deployment}.pid",
    )
    process.start()
    try:
        yield
    finally:
        process.stop()


def _environment(settings: Settings) -> dict[str, str]:
    named = {
        f"THALWEG_{name.upper()}": getattr(settings, name)
        for name in ("nats_url", "s3_endpoint", "s3_bucket", "s3_access_key", "s3_secret_key", "workspace", "data")
    }
    return {name: str(value) for name, value in named.items() if value is not None} | {"PYTHONSAFEPATH": "1"}


async def _run(settings: Settings, plan: Plan, name: str, out: Path, keep: bool, progress: Progress) -> Summary:
    started = time.monotonic()
    store = Store(
        settings.s3_endpoint,
        settings.s3_bucket,
        settings.s3_access_key,
        settings.s3_secret_key,
        settings.workspace,
        settings.data / "cache",
    )
    assert settings.nats_url is not None
    client = await connect(settings.nats_url, "thalweg run")
    spec = DeploymentSpec(settings.workspace, name, plan.pipeline.backend, [])
    try:
        await asyncio.to_thread(store.ensure_bucket)
        vertices = [await asyncio.to_thread(deploy_vertex, store, one, progress) for one in plan.vertices]
        spec = DeploymentSpec(settings.workspace, name, plan.pipeline.backend, vertices)
        await ensure_bucket(client, settings.workspace)
        await store_deployment(client, spec)
        await wait_for_log(client, spec)
        with progress:
            commits = await follow(client, spec, progress.update)
        saved = await asyncio.to_thread(_save, store, commits, out)
        dead = await dead_letters(client, spec)
        return Summary(name, time.monotonic() - started, _in_order(plan, commits), saved, dead, plan.pipeline.expect)
    finally:
        if not keep:
            await _clean_up(client, settings, spec)
        await client.close()


def deploy_vertex(store: Store, planned: PlannedVertex, progress: Progress) -> VertexSpec:
    """A planned vertex as it is deployed: its files uploaded, its release pinned by digest."""
    files = {slot: _bind(store, given, progress) for slot, given in planned.files.items()}
    manifest = planned.manifest
    return VertexSpec(
        name=planned.name,
        component=f"{manifest.name}@{manifest.version}",
        digest=manifest.digest,
        code=manifest.code,
        kind=manifest.kind,
        params=planned.params,
        files=files,
        generated=planned.generated,
        on_error=planned.on_error,  # type: ignore[arg-type]
        inputs=[EdgeSpec(vertex, port, own, format_type(kind)) for vertex, port, own, kind in planned.inputs],
        outputs={port: format_type(kind) for port, kind in planned.outputs.items()},
    )


def _bind(store: Store, given: Path | str, progress: Progress) -> FileSpec:
    if isinstance(given, str):
        return FileSpec(given, given.removeprefix("sha256:")[:16], 0)
    artifact = (store.put_directory if given.is_dir() else store.put_file)(given, progress.upload(given.name))
    return FileSpec(artifact.id, given.name, artifact.size_bytes, given.is_dir())


def _save(store: Store, commits: dict[str, Commit], out: Path) -> list[Saved]:
    saved: list[Saved] = []
    for vertex, commit in commits.items():
        for slot, generated in commit.generated.items():
            path = out / generated.name
            fetched = store.fetch(generated.artifact, generated.name)
            out.mkdir(parents=True, exist_ok=True)
            if fetched.is_dir():
                shutil.rmtree(path, ignore_errors=True)
                shutil.copytree(fetched, path)
            else:
                shutil.copyfile(fetched, path)
            saved.append(Saved(vertex, slot, path, generated.artifact, generated.size_bytes))
    return saved


def _in_order(plan: Plan, commits: dict[str, Commit]) -> dict[str, Commit]:
    return {one.name: commits[one.name] for one in plan.vertices}


async def _clean_up(client: Client, settings: Settings, spec: DeploymentSpec) -> None:
    """Removes the deployment; its coordinator then ends what still runs of it."""
    try:
        await delete_deployment(client, settings.workspace, spec.name)
        folder = settings.data / "vertices" / spec.name
        for _ in range(100):
            if not folder.exists():
                break
            await asyncio.sleep(0.05)
        shutil.rmtree(settings.data / "scratch" / spec.name, ignore_errors=True)
    except ThalwegError:
        return  # the run's own error matters more
