"""Decides what a redeploy does with each vertex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from thalweg.api.deployments import Restart
from thalweg.errors import RejectedError
from thalweg.wire.commit import Commit
from thalweg.wire.spec import OPENING, DeploymentSpec, VertexSpec, has_ended, is_failed
from thalweg_coordinator.repartitioning import Change
from thalweg_coordinator.reprocessing import Going, go_back

_KEPT = (
    "deployed_ns",
    "storage",
    "replicas",
    "max_messages_per_subject",
    "batch_records",
    "batch_bytes",
    "keep_messages",
    "keep_s",
    "lease",
    "capture",
    "capture_last_s",
    "capture_max_bytes",
    "capture_on",
    "launcher",
)


def plan_redeploy(
    old: DeploymentSpec,
    new: DeploymentSpec,
    commits: Mapping[str, Commit],
    goings: Mapping[str, Going] = MappingProxyType({}),
    repartitioned: Sequence[Change] = (),
) -> tuple[DeploymentSpec, list[Restart]]:
    """The next generation of a deployment, and what becomes of every vertex.

    A vertex whose release, params, files, inputs and types are what they were keeps running, unless it has failed.

    Args:
        old: what runs.
        new: what the backend is at the wanted revision, with partitions as `renumber` has them.
        commits: the newest of each vertex.
        goings: vertices that go back to an earlier position of the log, and how.
        repartitioned: vertices whose partitions change.

    Raises:
        RejectedError: `redeploy.ended`, a vertex would have to change that has ended already.
    """
    generation, former = old.generation + 1, {one.name: one for one in old.vertices}
    vertices: list[VertexSpec] = []
    changes: list[Restart] = []
    ended: list[str] = []
    retiring = {one.name: change.what for change in repartitioned for one in change.before}
    following = {one.name: change.takes_over for change in repartitioned for one in change.after}
    for vertex in new.vertices:
        if vertex.retired:
            vertices.append(vertex)
            if former.pop(vertex.name).retired == 0:
                changes.append(Restart(vertex=vertex.name, action="retires", reason=retiring[vertex.name]))
            continue
        before, commit = former.pop(vertex.name, None), commits.get(vertex.name)
        vertex = vertex if before is None else _fed_on(before, vertex, generation)
        if before is None:
            changes.append(Restart(vertex=vertex.name, action="starts", reason=following.get(vertex.name, "is new")))
        elif (going := goings.get(vertex.name)) is not None:
            reason = ", ".join([going.reason(), *_reasons(before, vertex, commit)])
            changes.append(Restart(vertex=vertex.name, action="goes back", reason=reason, state=going.rewind.state))
        elif reasons := _reasons(before, vertex, commit):
            changes.append(Restart(vertex=vertex.name, action="restarts", reason=", ".join(reasons)))
            if has_ended(before, commit):
                ended.append(vertex.name)
        else:
            changes.append(Restart(vertex=vertex.name, action="keeps running"))
            vertices.append(before)
            continue
        vertices.append(msgspec.structs.replace(vertex if before is None else _carried(before, vertex), generation=generation))
    changes += [Restart(vertex=name, action="ends", reason="is gone from the graph") for name in former]
    if ended:
        raise RejectedError(
            f"{', '.join(ended)}: has ended already, and would have to change",
            code="redeploy.ended",
            hint="undeploy, then deploy the revision anew",
        )
    vertices = go_back(vertices, goings, [one.vertex for one in changes if one.action == "starts"])
    kept = {field: getattr(old, field) for field in _KEPT}
    return msgspec.structs.replace(new, name=old.name, generation=generation, vertices=vertices, **kept), changes


def _fed_on(old: VertexSpec, new: VertexSpec, generation: int) -> VertexSpec:
    """A source that was opened by recorded records is by itself now, or will be: it stays so where nothing else is asked for.

    One whose records come from elsewhere than before begins anew: the cursor that it was at is that of another source.
    """
    if OPENING in old.files and not new.fed:
        new = msgspec.structs.replace(new, files={**new.files, OPENING: old.files[OPENING]}, fed=old.fed)
    return msgspec.structs.replace(new, fresh_since=old.fresh_since if old.fed == new.fed else generation)


def _carried(old: VertexSpec, new: VertexSpec) -> VertexSpec:
    """A changed vertex still reads no message that is void to it."""
    former = {edge.key: edge for edge in old.inputs}
    inputs = [
        msgspec.structs.replace(edge, voids=former[edge.key].voids, start=former[edge.key].start) if edge.key in former else edge
        for edge in new.inputs
    ]
    return msgspec.structs.replace(new, inputs=inputs, rewind=old.rewind)


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
