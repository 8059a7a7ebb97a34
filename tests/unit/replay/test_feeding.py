"""What was recorded comes in place of vertices: the same records with the same ids, through a source or through a whole graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from thalweg.errors import RejectedError
from thalweg.graph.plan import check_pipeline
from thalweg.replay.commits import Window, recorded_commits
from thalweg.replay.feeding import FedReleases, content_of, fed, pinned
from thalweg.replay.feeds import types_of_ports
from thalweg.replay.reader import Replay
from thalweg.replay.trimming import write_trimmed
from thalweg.sdk.catalog import Catalog
from thalweg.testing import run_component
from thalweg.wire.spec import DeploymentSpec, EdgeSpec, VertexSpec
from thalweg_components.sources.replay_source import ReplaySource
from unit.replay.logs import SPEC, log, record


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("fed") / "run.mcap"
    record(found, log())
    return found


@pytest.mark.parametrize("vertex", ["source", "blobs"])
def test_a_replay_source_puts_out_what_was_recorded(path: Path, vertex: str) -> None:
    replay = Replay(path)
    found = run_component(ReplaySource, files={"replay": path}, params={"vertex": vertex})
    count, digest = replay.digest(vertex, "out")
    assert (len(found.out), found.digest, found.counters.records_out) == (count, digest, count)
    ids = [one for message in found.messages["out"] for one in msgspec.msgpack.decode(message.body)["v"]]
    assert ids == [msgspec.msgpack.decode(one.packed) for one in replay.records(vertex, "out")]


def test_records_keep_their_ids_and_a_commit_comes_whole(path: Path) -> None:
    replay = Replay(path)
    commits = list(recorded_commits(replay, "blobs"))
    assert len(commits) == 30 and [one[3] for commit in commits for one in commit.batches] == [[number] for number in range(30)]
    rest = list(recorded_commits(replay, "blobs", after=commits[19].cursor))
    assert [one.cursor for one in rest] == [one.cursor for one in commits[20:]]


def test_a_port_that_was_not_recorded_is_refused(path: Path) -> None:
    with pytest.raises(RejectedError) as caught:
        run_component(ReplaySource, files={"replay": path}, params={"vertex": "source", "port": "other"})
    assert caught.value.code == "port.unknown"


def _graph(**changes: Any) -> DeploymentSpec:
    wet = VertexSpec(
        "big",
        "filter@1.0.0",
        "",
        "",
        "processor",
        {"where": "value > 10"},
        [EdgeSpec("source", "out", "in", "int")],
        {"out": "int"},
    )
    return msgspec.structs.replace(SPEC, vertices=[*SPEC.vertices, wet], **changes)


def test_sources_are_replaced_and_the_rest_is_planned_as_it_was(path: Path) -> None:
    ran = _graph()
    pipeline, replaced = fed(content_of(ran), ran, path, [])
    plan = check_pipeline(pipeline, FedReleases(Catalog(), types_of_ports(ran)), path.parent)
    plan.raise_if_faulty()
    assert sorted(replaced) == ["blobs", "source"]
    assert {one.name: one.manifest.name for one in plan.vertices} == {"source": "replay-source", "blobs": "replay-source", "big": "filter"}


def test_another_release_has_another_digest_and_a_tried_one_any(path: Path) -> None:
    content = content_of(_graph())
    content["vertices"]["big"]["digest"] = "sha256:" + "0" * 64
    assert pinned(content, {}, [])["vertices"]["big"]["digest"] is not None
    assert pinned(content, {"big": "filter@1.0.1"}, [])["vertices"]["big"] | {"params": 0} == content["vertices"]["big"] | {
        "params": 0,
        "component": "filter@1.0.1",
        "digest": None,
    }
    assert pinned(content, {}, ["filter@1.0.0"])["vertices"]["big"]["digest"] is None
    with pytest.raises(RejectedError, match="no vertex 'bog'"):
        pinned(content, {"bog": "filter@1.0.0"}, [])


def test_a_vertex_whose_records_were_not_captured_cannot_be_replaced(path: Path) -> None:
    ran = _graph(capture="blobs.out")
    with pytest.raises(RejectedError, match=r"no records of source\.out: they were not captured"):
        fed(content_of(ran), ran, path, [])
    content = content_of(_graph())
    content["vertices"]["new"] = content["vertices"]["source"]
    content["edges"] = [*content["edges"], "new.out -> big.in"]
    with pytest.raises(RejectedError, match="there was no such vertex"):
        fed(content, _graph(), path, [])


def _values(path: Path, window: Window, after: int = 0) -> list[Any]:
    commits = recorded_commits(Replay(path), "source", after=after, window=window)
    return [msgspec.msgpack.decode(part) for commit in commits for _, parts, *_ in commit.batches for part in parts]


def test_a_window_leaves_some_records_by_time_and_number(path: Path) -> None:
    assert _values(path, Window(from_ns=20, to_ns=40)) == [4, 5, 6, 7]  # each is 5 ns after the one before it
    assert _values(path, Window(from_ns=20, count=5)) == [4, 5, 6, 7, 8]
    commits = list(recorded_commits(Replay(path), "source"))
    assert _values(path, Window(count=5), after=commits[0].cursor) == [3, 4]
    found = run_component(ReplaySource, files={"replay": path}, params={"vertex": "source", "from_ns": 1000, "count": 7})
    assert found.out == list(range(200, 207))


def test_a_trimmed_replay_is_whole_and_says_what_it_was_trimmed_to(path: Path, tmp_path: Path) -> None:
    ran = Replay(path).spec
    assert ran is not None
    stand_ins = [msgspec.structs.replace(one, component="replay-source@1.0.0") for one in ran.vertices]
    spec = msgspec.structs.replace(ran, name="trim-d", vertices=stand_ins, lease="trim-d")
    write_trimmed(tmp_path / "small.mcap", Replay(path), spec, ran, "d: count 5")
    found = Replay(tmp_path / "small.mcap")
    assert found.verify() and found.about["trimmed"] == "d: count 5"
    assert found.spec is not None and found.spec.vertices == ran.vertices and found.spec.name == "trim-d" and not found.spec.lease
    assert found.digest("blobs", "out") == Replay(path).digest("blobs", "out")
    assert [one.name for one in tmp_path.iterdir()] == ["small.mcap"]
