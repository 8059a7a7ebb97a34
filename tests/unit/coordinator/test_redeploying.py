"""What a redeploy does with each vertex: pure decisions over specs and commits."""

from __future__ import annotations

import msgspec
import pytest

from thalweg.errors import RejectedError
from thalweg.wire.commit import Commit, Failure
from thalweg.wire.spec import DeploymentSpec, EdgeSpec, VertexSpec
from thalweg_coordinator.redeploying import plan_redeploy

SOURCE = VertexSpec("a", "numbers@1.0.0", "sha256:1", "x.py", "source", outputs={"out": "int"})
STEP = VertexSpec("b", "tag@1.0.0", "sha256:2", "x.py", "processor", {"tag": 1}, [EdgeSpec("a", "out", "in", "int")])
RUNNING = {name: Commit(epoch=1, number=3) for name in "ab"}


def spec(*vertices: VertexSpec, **more: int) -> DeploymentSpec:
    return DeploymentSpec("default", "live", "graph", list(vertices), deployed_ns=7, **more)  # type: ignore[arg-type]


def actions(old: DeploymentSpec, new: DeploymentSpec, commits: dict[str, Commit]) -> dict[str, str]:
    return {one.vertex: one.action for one in plan_redeploy(old, new, commits)[1]}


def test_what_is_the_same_keeps_running_as_the_generation_that_it_is() -> None:
    changed = msgspec.structs.replace(STEP, params={"tag": 2})
    planned, changes = plan_redeploy(spec(SOURCE, STEP, generation=4), spec(SOURCE, changed), RUNNING)
    assert [(one.vertex, one.action, one.reason) for one in changes] == [("a", "keeps running", ""), ("b", "restarts", "params changed")]
    assert planned.generation == 5 and planned.deployed_ns == 7
    assert [one.generation for one in planned.vertices] == [1, 5]


def test_vertices_are_added_and_removed() -> None:
    other = msgspec.structs.replace(STEP, name="c")
    assert actions(spec(SOURCE, STEP), spec(SOURCE, other), RUNNING) == {"a": "keeps running", "c": "starts", "b": "ends"}


def test_a_vertex_that_has_failed_starts_again_though_nothing_has_changed() -> None:
    failed = {**RUNNING, "b": Commit(epoch=1, number=3, failure=Failure("no", "component.raised"))}
    assert actions(spec(SOURCE, STEP), spec(SOURCE, STEP), failed) == {"a": "keeps running", "b": "restarts"}


def test_a_vertex_that_has_ended_cannot_change() -> None:
    ended = {**RUNNING, "b": Commit(epoch=1, number=3, ended=True)}
    with pytest.raises(RejectedError, match="b: has ended already"):
        plan_redeploy(spec(SOURCE, STEP), spec(SOURCE, msgspec.structs.replace(STEP, on_error="retry")), ended)
