"""A record is followed back to what it comes from and forward to what it has become."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from thalweg.errors import RejectedError
from thalweg.replay.lineage import Lineage, Place
from thalweg.replay.reader import Replay
from thalweg.replay.recorder import Recorder
from thalweg.replay.tracing import Trace, find_place, trace
from thalweg.wire import ids, subjects
from thalweg.wire.batch import encode_batch
from thalweg.wire.commit import HEADER, Commit, encode_commit
from thalweg.wire.logged import Logged
from thalweg.wire.spec import DeploymentSpec, EdgeSpec, VertexSpec
from unit.replay.logs import ABOUT

S = 10**9


def _edge(source: str, port: str = "in") -> EdgeSpec:
    return EdgeSpec(source, "out", port, "int")


SPEC = DeploymentSpec(
    "w",
    "d",
    "b",
    [
        VertexSpec("left", "c@1", "", "", "source", outputs={"out": "int"}),
        VertexSpec("right", "c@1", "", "", "source", outputs={"out": "int"}),
        VertexSpec("fan", "c@2", "", "", "processor", inputs=[_edge("left")], outputs={"out": "int", "more": "int"}),
        VertexSpec("joined", "c@3", "", "", "processor", inputs=[_edge("fan", "a"), _edge("right", "b")], outputs={"out": "int"}),
        VertexSpec("hours", "c@4", "", "", "processor", inputs=[_edge("left")], outputs={"out": "json"}),
        VertexSpec("save", "c@5", "", "", "sink", inputs=[_edge("joined")]),
    ],
    capture="all",
)


class _Log:
    """Writes commits as vertices would."""

    def __init__(self, path: Path) -> None:
        types = {(one.name, port): kind for one in SPEC.vertices for port, kind in one.outputs.items()}
        self.recorder = Recorder(path, ABOUT, msgspec.json.encode(SPEC), lambda vertex, port: types.get((vertex, port)), is_gapless=True)
        self.sequence, self.numbers = 0, dict.fromkeys((one.name for one in SPEC.vertices), 0)

    def commit(self, vertex: str, positions: dict[str, tuple[int, int]], **ports: list[tuple[Any, int, int]]) -> int:
        """Records as (value, event time, id) by port; the sequence of the last message."""
        self.numbers[vertex] += 1
        commit = encode_commit(Commit(1, self.numbers[vertex], positions))
        for port, records in (ports or {"_commit": []}).items():
            self.sequence += 1
            values, times, numbers = ([one[index] for one in records] for index in range(3))
            body = encode_batch([msgspec.msgpack.encode(one) for one in values], times, numbers, 0, None)
            self.recorder.add(Logged(subjects.port("w", "d", vertex, port), self.sequence, S, {HEADER: commit}, body))
        return self.sequence


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    path = tmp_path_factory.mktemp("trace") / "run.mcap"
    log = _Log(path)
    first = log.commit("left", {}, out=[(10, 1 * S, 100), (11, 2 * S, 101)])
    second = log.commit("left", {}, out=[(12, 3 * S, 102)])
    other = log.commit("right", {}, out=[(20, 1 * S, 200), (21, 2 * S, 201)])
    fanned = [(110, S, 100), (111, S, ids.derived(100, 1)), (112, S, ids.derived(100, 3))]
    fan = log.commit("fan", {"left.out>in": (first, 1)}, out=fanned, more=[(113, S, ids.derived(100, 2))]) - 1
    log.commit("fan", {"left.out>in": (second, 1)}, out=[(120, 3 * S, 102)])
    positions = {"fan.out>a": (fan, 3), "right.out>b": (other, 1)}
    joined = [(1, S, 100), (2, S, ids.derived(200, 1))]
    join = log.commit("joined", positions, out=joined)
    window = {"window_start": datetime.fromtimestamp(0, UTC), "window_end": datetime.fromtimestamp(3, UTC), "count": 2}
    log.commit("hours", {"left.out>in": (second, 1)}, out=[(window, 3 * S, ids.derived("hours", "watermark", "out", 0))])
    log.commit("save", {"joined.out>in": (join, 2)})
    assert log.recorder.seal({}, None).complete
    return Replay(path)


def _trace(replay: Replay, text: str) -> Trace:
    assert replay.spec is not None
    lineage = Lineage(replay, replay.spec)
    return trace(replay, lineage, find_place(lineage, text))


def _told(trace: Trace, side: str) -> list[tuple[int, str, bool]]:
    return [
        (one.depth, f"{one.vertex}.{one.place.port}:{one.place.index}" if one.place is not None else one.vertex, one.is_certain)
        for one in getattr(trace, side)
    ]


def test_what_is_made_of_a_record_is_found_by_derived_ids_on_all_ports(replay: Replay) -> None:
    found = _trace(replay, "left.out:0")
    assert found.record.value == 10 and found.back == []
    assert set(_told(found, "forward")) == {
        (1, "fan.out:0", True),
        (1, "fan.out:1", True),
        (1, "fan.out:2", True),
        (1, "fan.more:0", True),
        (1, "hours.out:0", False),
        (2, "joined.out:0", True),
        (2, "joined", False),
        (3, "save", True),
    }
    assert {one.release for one in found.forward} == {"c@2", "c@3", "c@4", "c@5"}


def test_a_record_is_followed_back_through_a_fan_out_and_a_join(replay: Replay) -> None:
    assert _told(_trace(replay, "fan.more:0"), "back") == [(1, "left.out:0", True)]
    found = _trace(replay, "joined.out:1")  # of the second port: its id is that of the record and the rank of the edge
    assert _told(found, "back")[:1] == [(1, "fan.out:0", False)] and (1, "right.out:0", True) in _told(found, "back")
    first = next(one for one in found.back if not one.is_certain)
    assert first.how == "perhaps with one of 3 read in the same commit"


def test_a_sum_comes_from_the_records_of_its_window(replay: Replay) -> None:
    found = _trace(replay, "hours.out:0")
    assert _told(found, "back") == [(1, "left.out:0", False), (1, "left.out:1", False)]
    assert found.back[0].how == "some of 2 within its window"


def test_a_record_that_nobody_read_says_so(replay: Replay) -> None:
    assert _trace(replay, "fan.out:3").forward[0].how == "not read, as far as the replay tells"
    assert _trace(replay, "right.out:1").forward[0].as_json() == {
        "depth": 1,
        "vertex": "joined",
        "release": "c@3",
        "certain": False,
        "how": "not read, as far as the replay tells",
    }


def test_a_record_is_named_by_its_id_or_its_place(replay: Replay) -> None:
    assert replay.spec is not None
    lineage = Lineage(replay, replay.spec)
    assert find_place(lineage, "100") == find_place(lineage, f"{100:016x}") == Place("joined", "out", 0)
    assert find_place(lineage, "101") == Place("left", "out", 1)
    for text in ("left.out:2000", "999", "nonsense", "no.where:0"):
        with pytest.raises(RejectedError) as caught:
            find_place(lineage, text)
        assert caught.value.code == "record.unknown"
