"""How far a vertex is behind in time."""

from __future__ import annotations

from typing import Any

from thalweg.bus.heads import StoredMessage
from thalweg.wire import subjects
from thalweg.wire.commit import Commit
from thalweg.wire.spec import DeploymentSpec, EdgeSpec, VertexSpec
from thalweg_coordinator.latency import latency_s, plan_waiting

SPEC = DeploymentSpec(
    "w",
    "d",
    "b",
    [
        VertexSpec("source", "c@1", "", "", "source", outputs={"out": "int"}),
        VertexSpec("step", "c@1", "", "", "sink", inputs=[EdgeSpec("source", "out", "in", "int")]),
    ],
)
OUT = subjects.port("w", "d", "source", "out")


def head(vertex: str, port: str, sequence: int, time_s: float, headers: dict[str, str] | None = None, **commit: Any) -> StoredMessage:
    made = Commit(**{"epoch": 1, "number": sequence, **commit})
    return StoredMessage(subjects.port("w", "d", vertex, port), sequence, headers or {}, b"", made, int(time_s * 1e9))


def step(sequence: int, time_s: float, position: tuple[int, int] | None, **commit: Any) -> StoredMessage:
    positions = {"source.out>in": position} if position is not None else {}
    return head("step", "_commit", sequence, time_s, positions=positions, **commit)


def test_latency_is_from_the_newest_input_to_its_commit() -> None:
    heads = [head("source", "out", 7, 10.0), step(8, 10.25, (7, 3))]
    assert latency_s(SPEC.vertices[1], heads) == 0.25
    assert plan_waiting(SPEC, heads) == {"step": []}


def test_an_input_of_several_pieces_is_known_by_its_first() -> None:
    heads = [head("source", "out", 7, 10.0, {"Tw-Chunk": "3/3"}), step(8, 10.5, (5, 1))]
    assert latency_s(SPEC.vertices[1], heads) == 0.5
    assert plan_waiting(SPEC, heads) == {"step": []}


def test_one_that_is_behind_is_looked_up_from_what_it_takes_next() -> None:
    heads = [head("source", "out", 9, 20.0), step(8, 10.25, (7, 3))]
    assert latency_s(SPEC.vertices[1], heads) is None
    assert plan_waiting(SPEC, heads) == {"step": [(OUT, 8)]}


def test_one_that_has_written_nothing_waits_from_the_first_message_on() -> None:
    assert plan_waiting(SPEC, [head("source", "out", 9, 20.0)]) == {"step": [(OUT, 1)]}
    assert plan_waiting(SPEC, []) == {"step": []}


def test_a_claim_and_an_end_and_a_source_have_no_latency() -> None:
    written = head("source", "out", 7, 10.0)
    for commit in ({"claim": True}, {"ended": True}, {"waits_for": "source.out>in"}):
        assert latency_s(SPEC.vertices[1], [written, step(8, 99.0, (7, 3), **commit)]) is None
    assert latency_s(SPEC.vertices[0], [written]) is None
    assert plan_waiting(SPEC, [written, step(8, 99.0, (3, 1), ended=True)]) == {}
