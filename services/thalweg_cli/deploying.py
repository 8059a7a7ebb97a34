"""Deploys a plan under a lease: its files uploaded, its releases pinned."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from thalweg.artifacts import Store
from thalweg.bus.connection import Client
from thalweg.bus.deployments import store_deployment
from thalweg.client.runs import wait_for_log
from thalweg.graph.backend import Backend
from thalweg.graph.plan import Plan, PlannedVertex
from thalweg.wire.planned import bound_artifact, expectations_of, spec_of, split
from thalweg.wire.spec import DeploymentSpec, FileSpec, VertexSpec
from thalweg_cli.keeping import record_inputs
from thalweg_cli.leased import Place

Upload = Callable[[str], Callable[[int, int], None] | None]
"""Callback that shows the progress of an upload, by the name of the file; None where it is not shown."""


async def spec_of_plan(place: Place, store: Store, plan: Plan, name: str, upload: Upload) -> DeploymentSpec:
    """A plan as it is deployed under the lease of a place; its files are in the store then.

    Args:
        place: where it will run.
        store: of the lease.
        plan: without faults.
        name: of the deployment.
        upload: shows progress.
    """
    await asyncio.to_thread(store.ensure_bucket)
    vertices = [await asyncio.to_thread(_deployed, store, one, upload) for one in plan.vertices]
    return DeploymentSpec(
        place.settings.workspace,
        name,
        plan.pipeline.backend,
        split(vertices, plan.vertices),
        graph_digest=_graph_digest(plan, vertices),
        deployed_ns=time.time_ns(),
        expect=expectations_of(plan.pipeline.expect),
        lease=place.lease,
        replicas=place.settings.replicas,
    )


async def deploy(client: Client, spec: DeploymentSpec, plan: Plan) -> None:
    """Stores what `spec_of_plan` gave, and waits for its log."""
    await record_inputs(client, spec, plan.vertices)
    await store_deployment(client, spec)
    await wait_for_log(client, spec)


def _deployed(store: Store, planned: PlannedVertex, upload: Upload) -> VertexSpec:
    return spec_of(planned, {slot: _bind(store, given, upload) for slot, given in planned.files.items()})


def _bind(store: Store, given: Path | str, upload: Upload) -> FileSpec:
    if isinstance(given, str):
        return bound_artifact(given)
    artifact = (store.put_directory if given.is_dir() else store.put_file)(given, upload(given.name))
    return FileSpec(artifact.id, given.name, artifact.size_bytes, given.is_dir())


def _graph_digest(plan: Plan, vertices: list[VertexSpec]) -> str:
    """Of the graph with its files bound by what they hold, not by where they were."""
    bound = {one.name: {slot: file.artifact for slot, file in one.files.items()} for one in vertices}
    changed = {name: vertex.model_copy(update={"files": bound[name]}) for name, vertex in plan.pipeline.vertices.items()}
    return Backend.read(plan.pipeline.model_copy(update={"vertices": changed})).digest()
