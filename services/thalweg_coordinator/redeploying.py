"""Decides what a redeploy does with each vertex."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from thalweg.api.deployments import Restart
from thalweg.errors import RejectedError
from thalweg.wire.commit import Commit
from thalweg.wire.spec import DeploymentSpec, VertexSpec, is_failed


def plan_redeploy(old: DeploymentSpec, new: DeploymentSpec, commits: Mapping[str, Commit]) -> tuple[DeploymentSpec, list[Restart]]:
    """The next generation of a deployment, and what becomes of every vertex.

    A vertex whose release, params, files, inputs and types are what they were keeps running, unless it has failed.

    Args:
        old: what runs.
        new: what the backend is at the wanted revision.
        commits: the newest of each vertex.

    Raises:
        RejectedError: `redeploy.ended`, a vertex would have to change that has ended already.
    """
    generation, former = old.generation + 1, {one.name: one for one in old.vertices}
    vertices: list[VertexSpec] = []
    changes: list[Restart] = []
    ended: list[str] = []
    for vertex in new.vertices:
        before, commit = former.pop(vertex.name, None), commits.get(vertex.name)
        if before is None:
            changes.append(Restart(vertex=vertex.name, action="starts", reason="is new"))
        elif reasons := _reasons(before, vertex, commit):
            changes.append(Restart(vertex=vertex.name, action="restarts", reason=", ".join(reasons)))
            if commit is not None and commit.ended:
                ended.append(vertex.name)
        else:
            changes.append(Restart(vertex=vertex.name, action="keeps running"))
            vertices.append(before)
            continue
        vertices.append(msgspec.structs.replace(vertex, generation=generation))
    changes += [Restart(vertex=name, action="ends", reason="is gone from the graph") for name in former]
    if ended:
        raise RejectedError(
            f"{', '.join(ended)}: has ended already, and would have to change",
            code="redeploy.ended",
            hint="undeploy, then deploy the revision anew",
        )
    fields = ("deployed_ns", "storage", "max_messages_per_subject", "batch_records", "batch_bytes", "lease", "capture")
    kept = {field: getattr(old, field) for field in fields}
    return msgspec.structs.replace(new, name=old.name, generation=generation, vertices=vertices, **kept), changes


def _reasons(old: VertexSpec, new: VertexSpec, commit: Commit | None) -> list[str]:
    """Why a vertex cannot go on as it is."""
    if is_failed(old, commit):
        return ["has failed"]
    if old.is_same_work(new):
        return []
    named = {
        "release": (old.component, old.digest, old.code) != (new.component, new.digest, new.code),
        "params": old.params != new.params,
        "files": old.files != new.files,
        "inputs": old.inputs != new.inputs,
        "output types": old.outputs != new.outputs,
        "generated files": old.generated != new.generated,
        "on_error": old.on_error != new.on_error,
    }
    return [f"{name} changed" for name, is_other in named.items() if is_other] or ["settings changed"]
