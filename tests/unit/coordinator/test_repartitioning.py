"""Other partitions by a redeploy: what they are called, what retires, what is refused: pure decisions over specs and commits."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from thalweg.errors import RejectedError
from thalweg.wire.commit import Commit, Failure
from thalweg.wire.rewind import Rewind, Void
from thalweg.wire.spec import DeploymentSpec, EdgeSpec, Share, VertexSpec, has_ended, is_failed
from thalweg_coordinator.redeploying import plan_redeploy
from thalweg_coordinator.repartitioning import MAX_PARTS, check_changes, renumber

SOURCE = VertexSpec("a", "numbers@1.0.0", "sha256:1", "x.py", "source", outputs={"out": "int"})
STEP = VertexSpec("b", "tag@1.0.0", "sha256:2", "x.py", "processor", {"tag": 1}, [EdgeSpec("a", "out", "in", "int")], {"out": "int"})
SINK = VertexSpec("c", "log@1.0.0", "sha256:3", "x.py", "processor", inputs=[EdgeSpec("b", "out", "in", "int")])


def spec(*vertices: VertexSpec, **more: Any) -> DeploymentSpec:
    return DeploymentSpec("default", "live", "graph", list(vertices), deployed_ns=7, **more)


def planned(count: int, key: str | None = None, step: VertexSpec = STEP, readers: int = 1) -> DeploymentSpec:
    """As it is planned when nothing runs: the step, and what reads it, in so many partitions."""
    sources = [f"b~{number}" for number in range(1, count + 1)] if count > 1 else ["b"]
    shares = [Share(index, count, key) for index in range(count)] if count > 1 else [None]
    steps = [msgspec.structs.replace(step, name=name, share=share) for name, share in zip(sources, shares, strict=True)]
    sink = msgspec.structs.replace(SINK, inputs=[EdgeSpec(name, "out", "in", "int") for name in sources])
    own = [sink] if readers == 1 else [msgspec.structs.replace(sink, name=f"c~{n + 1}", share=Share(n, readers)) for n in range(readers)]
    return spec(SOURCE, *steps, *own)


def redeployed(old: DeploymentSpec, new: DeploymentSpec, commits: Mapping[str, Commit] = MappingProxyType({})) -> DeploymentSpec:
    """The next generation."""
    new, changes = renumber(old, new)
    check_changes(old, new, changes, commits)
    return plan_redeploy(old, new, commits, {}, changes)[0]


def names(of: DeploymentSpec) -> list[str]:
    return [f"{one.name}!" if one.retired else one.name for one in of.vertices]


def edges(of: DeploymentSpec, vertex: str) -> list[str]:
    return [edge.src_vertex for one in of.vertices if one.name == vertex for edge in one.inputs]


def test_partitions_get_numbers_that_were_never_used_and_the_former_ones_stay_as_retired() -> None:
    first = planned(1)
    second = redeployed(first, planned(2, "city"))
    assert names(second) == ["a", "b!", "b~1", "b~2", "c"]
    assert [one.share for one in second.vertices[1:4]] == [None, Share(0, 2, "city"), Share(1, 2, "city")]
    assert edges(second, "c") == ["b", "b~1", "b~2"]
    third = redeployed(second, planned(3, "city"))
    assert names(third) == ["a", "b!", "b~1!", "b~2!", "b~3", "b~4", "b~5", "c"]
    assert [one.retired for one in third.vertices] == [0, 2, 3, 3, 0, 0, 0, 0]
    fourth = redeployed(third, planned(1))
    assert names(fourth)[-2:] == ["b~6", "c"] and fourth.vertices[-2].share is None
    assert edges(fourth, "c") == ["b", *(f"b~{number}" for number in range(1, 7))]
    assert edges(fourth, "b~6") == ["a"]


def test_another_key_is_another_way_to_deal_records_out() -> None:
    assert names(redeployed(planned(2, "city"), planned(2, "street"))) == ["a", "b~1!", "b~2!", "b~3", "b~4", "c"]


def test_what_stays_as_it_is_keeps_running_under_the_numbers_that_it_has() -> None:
    second = redeployed(planned(1), planned(2, "city"))
    new, changes = renumber(second, planned(2, "city"))
    again, said = plan_redeploy(second, new, {}, {}, changes)
    assert not changes and {one.action for one in said} == {"keeps running"} and len(said) == 4
    assert names(again) == names(second)
    more = msgspec.structs.replace(STEP, params={"tag": 2})
    new, changes = renumber(second, planned(2, "city", more))
    _, said = plan_redeploy(second, new, {}, {}, changes)
    assert [(one.vertex, one.action) for one in said][1:3] == [("b~1", "restarts"), ("b~2", "restarts")]


def test_the_redeploy_says_what_becomes_of_each() -> None:
    new, changes = renumber(planned(2, "city"), planned(3, "city"))
    said = plan_redeploy(planned(2, "city"), new, {}, {}, changes)[1]
    assert {one.vertex: (one.action, one.reason) for one in said} == {
        "a": ("keeps running", ""),
        "b~1": ("retires", "partitions changed 2 -> 3"),
        "b~2": ("retires", "partitions changed 2 -> 3"),
        **{f"b~{n}": ("starts", "partitions changed 2 -> 3: takes the place of b~1, b~2") for n in (3, 4, 5)},
        "c": ("restarts", "inputs changed"),
    }


def test_two_neighbours_change_at_once() -> None:
    found = redeployed(planned(2, None, readers=2), planned(1, None, readers=3))
    assert names(found) == ["a", "b~1!", "b~2!", "b~3", "c~1!", "c~2!", "c~3", "c~4", "c~5"]
    assert edges(found, "c~1") == ["b~1", "b~2"] and edges(found, "c~5") == ["b~1", "b~2", "b~3"]


def test_a_vertex_that_goes_takes_its_retired_partitions_with_it() -> None:
    second = redeployed(planned(1), planned(2, "city"))
    said = plan_redeploy(second, renumber(second, spec(SOURCE))[0], {}, {})[1]
    assert [one.vertex for one in said if one.action == "ends"] == ["b", "b~1", "b~2", "c"]


def test_retired_partitions_forget_inputs_that_are_gone() -> None:
    second = redeployed(planned(1, readers=2), planned(1, readers=1))
    other = msgspec.structs.replace(SINK, inputs=[EdgeSpec("a", "out", "in", "int")])
    assert edges(redeployed(second, spec(SOURCE, other)), "c~1") == []


def test_what_is_void_to_the_former_ones_is_void_to_those_in_their_place() -> None:
    old = planned(1)
    edge = msgspec.structs.replace(STEP.inputs[0], voids=[Void(3, 2)], start=40)
    old = msgspec.structs.replace(old, vertices=[SOURCE, msgspec.structs.replace(STEP, inputs=[edge]), old.vertices[2]])
    found = {one.name: one for one in redeployed(old, planned(2)).vertices}
    assert [(one.voids, one.start) for one in found["b~2"].inputs] == [([Void(3, 2)], 40)]
    assert found["b~2"].rewind is None


def test_one_that_was_retired_has_ended_by_the_commit_that_says_so_and_never_fails() -> None:
    retired = msgspec.structs.replace(STEP, retired=2)
    failed = Commit(epoch=1, number=3, failure=Failure("no", "component.raised"))
    assert not is_failed(retired, failed) and not has_ended(retired, failed) and not has_ended(retired, None)
    assert has_ended(retired, Commit(epoch=2, number=4, retired=2)) and has_ended(retired, Commit(epoch=2, number=4, ended=True))
    assert not has_ended(STEP, Commit(epoch=2, number=4))


def refusal(old: DeploymentSpec, new: DeploymentSpec, commits: Mapping[str, Commit] = MappingProxyType({}), **more: Any) -> str:
    new, changes = renumber(old, new)
    with pytest.raises(RejectedError) as refused:
        check_changes(old, new, changes, commits, **more)
    assert refused.value.code == "redeploy.partitions" and refused.value.hint
    return str(refused.value)


def test_what_has_ended_cannot_change() -> None:
    new, changes = renumber(planned(2), planned(3))
    with pytest.raises(RejectedError, match="b~2: has ended already") as refused:
        check_changes(planned(2), new, changes, {"b~2": Commit(epoch=1, number=5, ended=True)})
    assert refused.value.code == "redeploy.ended"


def test_changes_that_would_lose_or_double_something_are_refused() -> None:
    assert "somebody else starts" in refusal(msgspec.structs.replace(planned(1), launcher="static"), planned(2))
    assert "not while vertices go back" in refusal(planned(1), planned(2), goes_back=True)
    going = msgspec.structs.replace(STEP, rewind=Rewind(1, 9))
    assert "has still to go back" in refusal(planned(1, step=going), planned(2), {"b": Commit(epoch=1, number=4)})
    old = planned(2)
    old.vertices[1] = msgspec.structs.replace(old.vertices[1], rewind=Rewind(1, 9))
    assert "others did not" in refusal(old, planned(3), {"b~1": Commit(epoch=1, number=4, rewound=1)})
    many = planned(1)
    retired = [msgspec.structs.replace(STEP, name=f"b~{number}", retired=1) for number in range(1, MAX_PARTS)]
    many.vertices[1:2] = [*retired, msgspec.structs.replace(STEP, name=f"b~{MAX_PARTS}")]
    assert f"{MAX_PARTS + 2} partitions" in refusal(many, planned(2))


def test_a_state_is_made_anew_only_where_that_gives_the_same() -> None:
    kept = msgspec.structs.replace(STEP, memory="state")
    old, new = planned(1, step=kept), planned(2, "city", kept)
    renumbered, changes = renumber(old, new)
    check_changes(old, renumbered, changes, {"b": Commit(epoch=1, number=4)})
    assert "makes its state anew from the log" in changes[0].takes_over
    assert changes[0].ports(old) == [("a", "out")]
    assert "no longer holds all of a.out" in refusal(old, new, cut={("a", "out")})
    assert "dead letters were given" in refusal(old, new, {"b": Commit(epoch=1, number=4, positions={"dead>again": (7, 1)})})
    for change in ({"kind": "sink"}, {"deterministic": False}):
        other = msgspec.structs.replace(kept, **change)
        assert "outside would be done again" in refusal(planned(1, step=other), planned(2, "city", other))
    timed = msgspec.structs.replace(STEP, memory="times")
    assert names(redeployed(planned(1, step=timed), planned(2, "city", timed)))[1:4] == ["b!", "b~1", "b~2"]
    assert "event time" in refusal(planned(2, "city", timed), planned(3, "city", timed))
