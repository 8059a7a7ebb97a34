"""Told from the log alone: a graph that has run into itself, and the many that only look like it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgspec
import pytest

from thalweg.bus.heads import StoredMessage
from thalweg.bus.stalls import Stall, find_stall
from thalweg.wire import subjects
from thalweg.wire.commit import END_OF_TIME, Commit, Counters, PortDigest
from thalweg.wire.spec import DeploymentSpec, EdgeSpec, VertexSpec

K = 32


@dataclass(frozen=True)
class Standing:
    """How far a vertex of a graph has come.

    Attributes:
        written: records on its port; None while it has committed nothing.
        at: sequence of the port's last message.
        count: messages of the port that the log holds.
        taken: records that it has worked on.
        positions: by edge key, what it reads next.
    """

    written: int | None = 0
    at: int = 0
    count: int = 0
    taken: int = 0
    positions: dict[str, tuple[int, int]] = field(default_factory=dict)
    waits_for: str | None = None
    ended: bool = False
    floor: dict[str, tuple[int, int]] | None = None


def edge(src: str, port: str) -> EdgeSpec:
    return EdgeSpec(src, "out", port, "int")


GRAPH = {"s": [], "t": [edge("s", "in")], "z": [edge("s", "a"), edge("t", "b")]}
STALLED = {
    "s": Standing(written=400, at=90, count=K),
    "t": Standing(written=130, at=91, count=3, taken=400, positions={"s.out>in": (90, 10)}),
    "z": Standing(written=130, at=92, count=1, taken=260, positions={"s.out>a": (40, 1), "t.out>b": (91, 4)}, waits_for="t.out>b"),
}


def find(standings: dict[str, Standing], graph: dict[str, list[EdgeSpec]] = GRAPH) -> Stall | None:
    vertices = [VertexSpec(name, "c@1.0.0", "", "", "processor", inputs=inputs, outputs={"out": "int"}) for name, inputs in graph.items()]
    spec = DeploymentSpec("default", "d", "b", vertices, max_messages_per_subject=K)
    heads, counts = [], {}
    for name, one in standings.items():
        if one.written is None:
            continue
        subject = subjects.port("default", "d", name, "out")
        commit = Commit(
            epoch=1,
            number=5,
            positions=one.positions,
            floor=one.floor,
            watermark=END_OF_TIME if one.ended else 0,
            waits_for=one.waits_for,
            ended=one.ended,
            counters=Counters(records_in=one.taken),
            ports={"out": PortDigest(one.written, "")},
        )
        heads.append(StoredMessage(subject, one.at, {}, b"", commit))
        counts[subject] = one.count
    return find_stall(spec, heads, counts)


def but(**changes: dict[str, object]) -> dict[str, Standing]:
    """The stalled graph, but for some vertices."""
    return STALLED | {name: replace(STALLED[name], **change) for name, change in changes.items()}  # type: ignore[arg-type]


def test_a_zip_over_a_filtered_branch_of_its_source_is_stalled_and_both_edges_are_named() -> None:
    stall = find(STALLED)
    assert stall == Stall("z", "t.out>b", "s.out>a")
    failure = stall.failure()
    assert failure.code == "graph.stalled"
    assert "s.out>a" in failure.message and "t.out>b" in failure.message and "event-time" in (failure.hint or "")
    assert msgspec.json.decode(msgspec.json.encode(failure), type=type(failure)) == failure


def test_longer_branches_and_steps_before_the_full_edge_are_followed() -> None:
    graph = GRAPH | {"t": [edge("u", "in")], "u": [edge("s", "in")], "z": [edge("m", "a"), edge("t", "b")], "m": [edge("s", "in")]}
    standings = STALLED | {
        "s": Standing(written=800, at=140, count=K),
        "m": Standing(written=700, at=120, count=K, taken=700, positions={"s.out>in": (60, 1)}),
        "u": Standing(written=300, at=141, count=1, taken=800, positions={"s.out>in": (140, 10)}),
        "t": Standing(written=130, at=142, count=3, taken=300, positions={"u.out>in": (141, 4)}),
        "z": Standing(written=130, taken=260, positions={"m.out>a": (40, 1), "t.out>b": (142, 4)}, waits_for="t.out>b"),
    }
    assert find(standings, graph) == Stall("z", "t.out>b", "m.out>a")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"s": {"count": K - 1}}, id="a source that has room, and nothing to say for now"),
        pytest.param({"t": {"taken": 399}}, id="a branch in the middle of a slow record"),
        pytest.param({"t": {"positions": {"s.out>in": (89, 10)}}}, id="a branch that has not seen the last watermark"),
        pytest.param({"t": {"written": None}}, id="a branch that has not begun"),
        pytest.param({"t": {"at": 95}}, id="a branch whose last message has not arrived yet"),
        pytest.param({"t": {"ended": True}}, id="a branch that has ended"),
        pytest.param({"s": {"ended": True}}, id="a source that has ended"),
        pytest.param({"z": {"waits_for": None}}, id="a zip that is at work"),
        pytest.param({"z": {"waits_for": "s.out>a"}}, id="a zip that waits for the source, which it has not read"),
        pytest.param({"z": {"written": None}}, id="a zip that has not begun"),
    ],
)
def test_a_graph_in_which_anything_may_still_move_is_not_stalled(changes: dict[str, dict[str, object]]) -> None:
    assert find(but(**changes)) is None


def test_a_slower_reader_that_holds_the_full_subject_may_still_make_room() -> None:
    graph = GRAPH | {"slow": [edge("s", "in")]}
    slow = Standing(written=30, at=60, count=1, taken=30, positions={"s.out>in": (39, 1)})
    assert find(STALLED | {"slow": slow}, graph) is None
    assert find(STALLED | {"slow": replace(slow, positions={"s.out>in": (41, 1)})}, graph) == Stall("z", "t.out>b", "s.out>a")


def test_a_live_source_of_the_branch_that_is_idle_is_no_stall() -> None:
    graph = GRAPH | {"t": [edge("s", "in"), edge("live", "other")], "live": []}
    assert find(STALLED | {"live": Standing(written=0)}, graph) is None
