"""`thalweg run`: brings the stack up where none is given, uploads, deploys, follows, saves what was generated, cleans up."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import nullcontext
from pathlib import Path

import uvloop
from rich.console import Console

from thalweg.artifacts import Store
from thalweg.bus.connection import connect
from thalweg.bus.deployments import ensure_bucket, store_deployment
from thalweg.client.runs import dead_letters, follow, wait_for_log
from thalweg.embedded.leftovers import usable
from thalweg.errors import RunFailedError
from thalweg.graph.backend import Backend
from thalweg.graph.plan import Plan, PlannedVertex
from thalweg.sealed.evidence import workspace_key
from thalweg.settings import Settings
from thalweg.wire.commit import Commit
from thalweg.wire.planned import bound_artifact, expectations_of, spec_of
from thalweg.wire.spec import DeploymentSpec, FileSpec, VertexSpec
from thalweg_cli.interrupts import interruptible
from thalweg_cli.keeping import keep_evidence
from thalweg_cli.leftovers import close_deployment, end_killed_runs, end_processes, note_run, remove_killed_runs
from thalweg_cli.progress import Progress
from thalweg_cli.reach import reach
from thalweg_cli.saving import check_out, save
from thalweg_cli.secrets_of_run import check_stored, given_secrets
from thalweg_cli.servers import coordinator_of_run, servers_of_run
from thalweg_cli.summary import Summary


def run_pipeline(settings: Settings, plan: Plan, out: Path, *, keep: bool, quiet: bool) -> Summary:
    """Runs a faultless plan to its end.

    Args:
        settings: servers to use; the embedded stack is brought up for those that are not given.
        plan: what to run.
        out: folder for the generated files.
        keep: leave the deployment's log in place.
        quiet: show no progress.

    Raises:
        RejectedError: the generated files could not be saved in `out`; nothing was started.
        RunFailedError: a vertex failed.
        Interrupted: SIGINT or SIGTERM; all that was started has ended.
        UnreachableError: a server does not answer.
    """
    check_out(out, [name for one in plan.vertices for name in one.generated.values()])
    settings = settings.model_copy(update={"data": settings.data.resolve()})
    name = f"{plan.pipeline.backend[:40]}-{os.urandom(4).hex()}"
    progress = Progress(plan, None if quiet else Console(stderr=True))
    with interruptible() as interrupts:
        # Not by uvloop, out of which a signal's exception would not get.
        has_coordinator = settings.nats_url is not None and asyncio.run(reach(settings))
        secrets = {} if has_coordinator else given_secrets(plan.vertices)
        killed = end_killed_runs(settings.data)
        with usable(settings.data):
            note = note_run(settings.data, name, os.getpid(), keep=keep)
        with servers_of_run(settings, name, keep=keep) as ready:
            try:
                with nullcontext() if has_coordinator else coordinator_of_run(ready, name, secrets):
                    # A run with servers of its own does not reach those of the others.
                    mine = killed if ready.data == settings.data else []
                    return interrupts.run(_run(ready, plan, name, out, progress, mine, settings.data, has_store=has_coordinator))
            finally:
                if not has_coordinator:
                    end_processes(ready.data, name)
                if uvloop.run(close_deployment(ready, name, keep=keep)):
                    note.unlink(missing_ok=True)


async def _run(
    settings: Settings, plan: Plan, name: str, out: Path, progress: Progress, killed: list[Path], home: Path, *, has_store: bool
) -> Summary:
    started = time.monotonic()
    store = Store.of(settings)
    assert settings.nats_url is not None
    client = await connect(settings.nats_url, "thalweg run")
    try:
        if has_store:
            await check_stored(client, settings.workspace, plan.vertices)
        await asyncio.to_thread(store.ensure_bucket)
        vertices = [await asyncio.to_thread(deploy_vertex, store, one, progress) for one in plan.vertices]
        spec = DeploymentSpec(
            settings.workspace,
            name,
            plan.pipeline.backend,
            vertices,
            graph_digest=_graph_digest(plan, vertices),
            deployed_ns=time.time_ns(),
            expect=expectations_of(plan.pipeline.expect),
        )
        await ensure_bucket(client, settings.workspace)
        await remove_killed_runs(client, settings.workspace, killed)
        await store_deployment(client, spec)
        await wait_for_log(client, spec)
        with progress:
            commits = await follow(client, spec, progress.update)
        saved = await asyncio.to_thread(save, store, commits, out)
        dead = await dead_letters(client, spec)
        proof = await keep_evidence(client, store, workspace_key(settings.signing_key, home), spec, commits, home)
        _refuse_missing(commits)
        return Summary(name, time.monotonic() - started, _in_order(plan, commits), saved, dead, plan.pipeline.expect, proof)
    finally:
        await client.close()


def deploy_vertex(store: Store, planned: PlannedVertex, progress: Progress) -> VertexSpec:
    """A planned vertex as it is deployed: its files uploaded, its release pinned by digest."""
    files = {slot: _bind(store, given, progress) for slot, given in planned.files.items()}
    return spec_of(planned, files)


def _graph_digest(plan: Plan, vertices: list[VertexSpec]) -> str:
    """Of the graph with its files bound by what they hold, not by where they were."""
    bound = {one.name: {slot: file.artifact for slot, file in one.files.items()} for one in vertices}
    changed = {name: vertex.model_copy(update={"files": bound[name]}) for name, vertex in plan.pipeline.vertices.items()}
    return Backend.read(plan.pipeline.model_copy(update={"vertices": changed})).digest()


def _refuse_missing(commits: dict[str, Commit]) -> None:
    for vertex, commit in commits.items():
        for slot in commit.missing:
            raise RunFailedError(f"{vertex}: the component left no file in slot {slot}", code="generated.missing")


def _bind(store: Store, given: Path | str, progress: Progress) -> FileSpec:
    if isinstance(given, str):
        return bound_artifact(given)
    artifact = (store.put_directory if given.is_dir() else store.put_file)(given, progress.upload(given.name))
    return FileSpec(artifact.id, given.name, artifact.size_bytes, given.is_dir())


def _in_order(plan: Plan, commits: dict[str, Commit]) -> dict[str, Commit]:
    return {one.name: commits[one.name] for one in plan.vertices}
