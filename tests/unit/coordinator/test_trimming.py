"""What may be removed from a log: nothing that a reader would read again, nor what its writer would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from thalweg.bus.heads import StoredMessage
from thalweg.bus.holds import HoldRecord, lowest_sequence
from thalweg.wire import subjects
from thalweg.wire.commit import CHUNK_HEADER, Commit, PortDigest
from thalweg.wire.dead_letters import AGAIN_KEY
from thalweg.wire.spec import INLET_KEY, DeploymentSpec, EdgeSpec, Share, VertexSpec
from thalweg_coordinator.trimming import Mark, Window, keep_of, plan_trim, plan_windows

PLACE = ("w", "d")


def vertex(name: str, *sources: str) -> VertexSpec:
    edges = [EdgeSpec(source, "out", f"in{number}", "int") for number, source in enumerate(sources)]
    return VertexSpec(name, "c@1", "", "", "processor", inputs=edges, outputs={"out": "int"})


def head(name: str, port: str, sequence: int, commit: Commit | None, chunks: int = 1) -> StoredMessage:
    headers = {CHUNK_HEADER: f"{chunks}/{chunks}"} if chunks > 1 else {}
    return StoredMessage(subjects.port(*PLACE, name, port), sequence, headers, b"", commit)


def trimmed(spec: DeploymentSpec, *heads: StoredMessage) -> dict[str, int]:
    return {subject.removeprefix("tw.w.d.v."): sequence for subject, sequence in plan_trim(spec, list(heads))}


SPEC = DeploymentSpec(*PLACE, "b", [vertex("source"), vertex("fast", "source"), vertex("slow", "source")])


def at(sequence: int, floor: int | None = None, number: int = 1) -> Commit:
    key = "source.out>in0"
    return Commit(1, number, positions={key: (sequence, 0)}, floor=None if floor is None else {key: (floor, 0)})


def test_the_slowest_reader_decides() -> None:
    found = trimmed(SPEC, head("source", "out", 90, Commit(1, 9)), head("fast", "out", 91, at(80)), head("slow", "out", 92, at(40)))
    assert found["source.out.0"] == 40


def test_a_rebuild_would_begin_at_the_floor() -> None:
    found = trimmed(SPEC, head("source", "out", 90, Commit(1, 9)), head("fast", "out", 91, at(80)), head("slow", "out", 92, at(70, 30)))
    assert found["source.out.0"] == 30


def test_a_reader_without_a_commit_needs_everything() -> None:
    assert trimmed(SPEC, head("source", "out", 90, Commit(1, 9)), head("fast", "out", 91, at(80)))["source.out.0"] == 0


def test_the_last_message_stays_with_all_of_its_pieces() -> None:
    found = trimmed(SPEC, head("fast", "out", 91, at(80), chunks=7), head("fast", "_state", 84, None, chunks=3))
    assert found["fast.out.0"] == 85 and found["fast._state.0"] == 82


def test_dead_letters_stay() -> None:
    assert "fast._dead.0" not in trimmed(SPEC, head("fast", "_dead", 50, at(80)), head("fast", "out", 91, at(80)))


def test_the_newest_commit_of_a_vertex_counts_whatever_subject_it_is_on() -> None:
    older, newer = head("slow", "out", 60, at(20, number=1)), head("slow", "_commit", 93, at(75, number=2))
    assert trimmed(SPEC, head("source", "out", 90, Commit(1, 9)), head("fast", "out", 91, at(80)), older, newer)["source.out.0"] == 75


@given(
    places=st.lists(st.tuples(st.integers(1, 1000), st.integers(1, 1000) | st.none()) | st.none(), min_size=2, max_size=2),
    last=st.integers(1, 1000),
)
def test_nothing_that_any_reader_needs_is_removed(places: list[tuple[int, int | None] | None], last: int) -> None:
    heads = [head("source", "out", last, Commit(1, 9))]
    for name, place in zip(("fast", "slow"), places, strict=True):
        if place is not None:
            heads.append(head(name, "out", last + 1, at(*place)))
    below = trimmed(SPEC, *heads)["source.out.0"]
    assert below <= last
    for place in places:
        assert below <= (0 if place is None else place[0] if place[1] is None else place[1])


def endpoints() -> DeploymentSpec:
    door = VertexSpec("door", "c@1", "", "", "source", outputs={"out": "int"}, endpoint="in")
    show = VertexSpec("show", "c@1", "", "", "sink", outputs={"out": "int"}, endpoint="out")
    return DeploymentSpec(*PLACE, "b", [door, show])


def test_what_came_from_outside_goes_when_it_is_read() -> None:
    commit = Commit(1, 1, positions={INLET_KEY: (40, 1)})
    plan = plan_trim(endpoints(), [head("door", "out", 90, commit)])
    assert ("tw.w.d.in.door.in", 40) in plan


def test_what_was_given_again_goes_but_for_the_message_that_its_vertex_stands_at() -> None:
    commit = Commit(1, 1, positions={AGAIN_KEY: (40, 3)})
    assert ("tw.w.d.again.fast.0", 40) in plan_trim(SPEC, [head("fast", "out", 90, commit)])
    assert ("tw.w.d.again.fast.0", 20) in plan_trim(SPEC, [head("fast", "out", 90, commit)], held_from=20)


def test_nobody_need_read_an_output_endpoint_nor_dead_letters_of_an_input_endpoint() -> None:
    commits = {"door": Commit(1, 1, dead_commits=7), "show": Commit(1, 1, ports={"out": PortDigest(900, "")})}
    found = {window.subject: (window.keep, window.written) for window in plan_windows(endpoints(), commits)}
    assert found == {"tw.w.d.v.door._dead.0": (512, 7), "tw.w.d.out.show.out": (512, 900)}


def test_nothing_is_trimmed_from_a_hold_on() -> None:
    heads = [head("source", "out", 90, Commit(1, 9)), head("fast", "out", 91, at(80)), head("slow", "out", 92, at(40))]
    assert dict(plan_trim(SPEC, heads, 30))["tw.w.d.v.source.out.0"] == 30
    assert dict(plan_trim(SPEC, heads, 70))["tw.w.d.v.source.out.0"] == 40
    assert dict(plan_trim(SPEC, heads, 70))["tw.w.d.v.fast.out.0"] == 70


def test_an_expired_hold_counts_no_more() -> None:
    assert lowest_sequence([HoldRecord(5, 100), HoldRecord(9, 300)], 200) == 9
    assert lowest_sequence([HoldRecord(5, 100)], 200) is None
    assert lowest_sequence([HoldRecord(5, 201), HoldRecord(9, 300)], 200) == 5


def test_a_window_keeps_what_a_hold_may_still_need() -> None:
    window, mark = Window("out", 512, 900), Mark(70, {"out": 300})
    assert keep_of(window, None, mark) == 512
    assert keep_of(window, 70, mark) is None
    assert keep_of(window, 71, mark) == 600
    assert keep_of(window, 71, Mark(70, {"out": 850})) == 512


def test_a_retired_reader_holds_nothing_and_one_in_its_place_what_it_will_begin_with() -> None:
    old, new = (replace(vertex(f"slow~{number}", "source"), share=Share(0, 1)) for number in (1, 2))
    spec = DeploymentSpec(*PLACE, "b", [vertex("source"), replace(old, retired=2), new])
    heads = [head("source", "out", 90, Commit(1, 9)), head("slow~1", "_commit", 91, at(40))]
    assert trimmed(spec, *heads)["source.out.0"] == 40
    assert trimmed(spec, *heads, head("slow~2", "_commit", 95, at(60)))["source.out.0"] == 60
    rebuilt = replace(spec, vertices=[vertex("source"), replace(old, retired=2), replace(new, memory="state")])
    assert trimmed(rebuilt, *heads)["source.out.0"] == 1


def test_what_a_retired_vertex_wrote_is_held_for_its_readers() -> None:
    spec = DeploymentSpec(*PLACE, "b", [replace(vertex("source"), retired=2), vertex("source~1"), vertex("slow", "source", "source~1")])
    heads = [
        head("source", "out", 90, Commit(1, 9)),
        head("source", "_commit", 92, Commit(2, 10, retired=2)),
        head("slow", "out", 93, at(40)),
    ]
    assert trimmed(spec, *heads) | {"slow.out.0": 0, "source._commit.0": 0} == {
        "source.out.0": 40, "slow.out.0": 0, "source._commit.0": 0,
    }  # fmt: skip
