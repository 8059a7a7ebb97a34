"""Recorded records in place of sources, or before theirs: what is deployed then, and where a source goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from thalweg.errors import RejectedError
from thalweg.graph.parse import parse_type
from thalweg.replay.feeds import open_feed
from thalweg.replay.fixture import encode_head, encode_record
from thalweg.runtime.opening import opened
from thalweg.sdk.catalog import Catalog
from thalweg.sdk.values import At, Emit
from thalweg.wire.commit import Commit
from thalweg.wire.spec import OPENING, DeploymentSpec, EdgeSpec, FileSpec, VertexSpec
from thalweg_coordinator.redeploying import plan_redeploy
from thalweg_coordinator.replacing import replace_sources

FILE = FileSpec("sha256:" + "a" * 64, "live.fixture.jsonl", 0)
VERTICES = [
    VertexSpec("numbers", "numbers@1.0.0", "d", "m", "source", secrets={"token": "t"}, outputs={"out": "int"}),
    VertexSpec("door", "http-in@1.0.0", "d", "m", "source", endpoint="in", outputs={"out": "int"}),
    VertexSpec(
        "twice", "c@1", "d", "m", "processor", inputs=[EdgeSpec("numbers", "out", "in", "int"), EdgeSpec("door", "out", "in", "int")]
    ),
]


def _fixture(path: Path, **types: str) -> Path:
    ports = {(vertex, "out"): parse_type(kind) for vertex, kind in types.items()}
    path.write_bytes(encode_head("g", "live", ports) + encode_record("numbers", "out", 0, 1, parse_type("int")))
    return path


def _replaced(path: Path, *only: str, go_on: bool = False, vertices: list[VertexSpec] = VERTICES) -> dict[str, VertexSpec]:
    return {one.name: one for one in replace_sources(vertices, open_feed(path), FILE, only, Catalog(), go_on=go_on)}


def test_only_the_sources_that_are_named_are_replaced(tmp_path: Path) -> None:
    found = _replaced(_fixture(tmp_path / "a.fixture.jsonl", numbers="int", door="int"), "numbers")
    assert found["numbers"].component == "fixture-source@1.0.0" and found["numbers"].params == {"vertex": "numbers", "port": None}
    assert found["numbers"].files == {"fixture": FILE} and found["numbers"].secrets == {} and found["numbers"].outputs == {"out": "int"}
    assert [found["door"], found["twice"]] == VERTICES[1:]
    assert _replaced(_fixture(tmp_path / "a.fixture.jsonl", numbers="int", door="int"))["door"].endpoint == ""


def test_a_source_that_is_to_go_on_by_itself_stays_what_it_is(tmp_path: Path) -> None:
    found = _replaced(_fixture(tmp_path / "a.fixture.jsonl", numbers="int"), "numbers", go_on=True)["numbers"]
    assert (found.component, found.secrets, found.files) == ("numbers@1.0.0", {"token": "t"}, {OPENING: FILE})


@pytest.mark.parametrize(
    ("only", "go_on", "types", "code"),
    [
        (["twice"], False, {"numbers": "int"}, "replay.no_source"),
        (["nobody"], False, {"numbers": "int"}, "vertex.unknown"),
        (["door"], False, {"numbers": "int"}, "replay.no_input"),
        (["numbers"], False, {"numbers": "str"}, "replay.type"),
        (["door"], True, {"numbers": "int", "door": "int"}, "replay.endpoint"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, only: list[str], go_on: bool, types: dict[str, str], code: str) -> None:
    with pytest.raises(RejectedError) as refused:
        _replaced(_fixture(tmp_path / "a.fixture.jsonl", **types), *only, go_on=go_on)
    assert refused.value.code == code


def _recorded(count: int) -> Iterator[tuple[str, Any, int | None]]:
    yield from [("out", "a", 5), ("more", "b", 6), ("out", "c", None)][count:]


def _own(cursor: Any) -> Iterator[Any]:
    yield from (At(n, n + 1) for n in range(cursor or 0, 3))


def test_a_source_goes_on_by_itself_behind_its_opening_and_finds_its_place_in_both() -> None:
    found = list(opened(_recorded, _own, None))
    assert [one.value for one in found] == ["a", Emit("b", port="more"), "c", 0, 1, 2]
    assert [one.time_ns for one in found] == [5, 6, None, None, None, None]
    for index, one in enumerate(found):
        assert list(opened(_recorded, _own, one.cursor)) == found[index + 1 :]


def _deployed(*vertices: VertexSpec, generation: int = 1) -> DeploymentSpec:
    return DeploymentSpec("w", "d", "g", list(vertices), generation=generation)


def test_a_source_that_is_exchanged_for_a_recording_and_back_begins_anew_each_time(tmp_path: Path) -> None:
    live, commits = VERTICES[0], {"numbers": Commit(1, 1)}
    fed = _replaced(_fixture(tmp_path / "a.fixture.jsonl", numbers="int"), "numbers")["numbers"]
    second, _ = plan_redeploy(_deployed(live), _deployed(fed), commits)
    assert (second.vertices[0].generation, second.vertices[0].fresh_since) == (2, 2)
    same, changes = plan_redeploy(second, _deployed(fed), commits)
    assert [one.action for one in changes] == ["keeps running"] and same.vertices[0].fresh_since == 2
    third, _ = plan_redeploy(second, _deployed(live), commits)
    assert (third.vertices[0].component, third.vertices[0].fresh_since) == ("numbers@1.0.0", 3)


def test_a_source_that_is_live_behind_its_opening_stays_live_when_others_change(tmp_path: Path) -> None:
    path = _fixture(tmp_path / "a.fixture.jsonl", numbers="int")
    opened_one = _replaced(path, "numbers", go_on=True)["numbers"]
    spec, changes = plan_redeploy(_deployed(opened_one), _deployed(VERTICES[0]), {"numbers": Commit(1, 1)})
    assert [one.action for one in changes] == ["keeps running"] and spec.vertices[0] == opened_one
