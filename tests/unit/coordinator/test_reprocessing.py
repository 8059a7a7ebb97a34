"""How vertices go back to an earlier position of their log: pure decisions over specs, commits and what the log holds."""

from __future__ import annotations

import msgspec
import pytest

from thalweg.errors import RejectedError
from thalweg.wire import subjects
from thalweg.wire.commit import Commit, Counters
from thalweg.wire.rewind import Rewind, Void, is_void
from thalweg.wire.spec import DeploymentSpec, EdgeSpec, VertexSpec, has_ended
from thalweg_coordinator.redeploying import plan_redeploy
from thalweg_coordinator.reprocessing import Facts, Going, Held, Past, choose_vertices, plan_rewinds

A = VertexSpec("a", "numbers@1.0.0", "sha256:1", "x.py", "source", outputs={"out": "int"})
B = VertexSpec("b", "tag@1.0.0", "sha256:2", "x.py", "processor", {"tag": 1}, [EdgeSpec("a", "out", "in", "int")], {"out": "int"})
C = VertexSpec("c", "lines@1.0.0", "sha256:3", "x.py", "sink", inputs=[EdgeSpec("b", "out", "in", "int")])
SPEC = DeploymentSpec("w", "d", "b", [A, B, C])
FROM_A, FROM_B = subjects.port("w", "d", "a", "out"), subjects.port("w", "d", "b", "out")
NOW = {name: Commit(epoch=1, number=90, ended=True) for name in "abc"}
B_THEN = Commit(epoch=1, number=7, positions={"a.out>in": (40, 2)}, counters=Counters(records_in=12))
C_THEN = Commit(epoch=1, number=5, positions={"b.out>in": (44, 1)})
PAST = {"b": Past(B_THEN, 48, first=10, is_whole=False), "c": Past(C_THEN, 49, first=11, is_whole=False)}
HELD = {FROM_A: Held(30, is_whole=False, later=51), FROM_B: Held(31, is_whole=False, later=52)}


def plan(facts: Facts, *chosen: str, commits: dict[str, Commit] = NOW) -> dict[str, Going]:
    return plan_rewinds(SPEC, SPEC, commits, chosen or ("b", "c"), facts)


def refused(facts: Facts, *chosen: str, commits: dict[str, Commit] = NOW) -> RejectedError:
    with pytest.raises(RejectedError) as error:
        plan(facts, *chosen, commits=commits)
    return error.value


def test_a_vertex_goes_back_to_its_last_commit_before_the_position() -> None:
    found = plan(Facts(50, past=PAST, held=HELD))
    assert found["b"].rewind == Rewind(2, 50, commit=48, needed=[40], state="kept")
    assert (found["b"].after, found["b"].records_in, found["b"].starts) == (7, 12, {})
    assert "where it was at #50: 12 records in" in found["b"].reason()


def test_a_reader_that_goes_back_too_passes_over_what_is_written_anew() -> None:
    goings = plan(Facts(50, past=PAST, held=HELD))
    planned, changes = plan_redeploy(SPEC, SPEC, NOW, goings)
    assert [(one.vertex, one.action) for one in changes] == [("a", "keeps running"), ("b", "goes back"), ("c", "goes back")]
    a, b, c = planned.vertices
    assert (a, b.inputs[0].voids, c.inputs[0].voids) == (A, [], [Void(7, 2)])
    assert [one.generation for one in planned.vertices] == [1, 2, 2]
    assert not has_ended(b, NOW["b"]) and has_ended(b, Commit(epoch=2, number=99, ended=True, rewound=2))


def test_what_is_void_stays_so_in_later_redeploys() -> None:
    planned, _ = plan_redeploy(SPEC, SPEC, NOW, plan(Facts(50, past=PAST, held=HELD)))
    done = {name: Commit(epoch=2, number=99, rewound=2, generation=2) for name in "abc"}
    kept, changes = plan_redeploy(planned, SPEC, done)
    assert {one.action for one in changes} == {"keeps running"} and kept.vertices == planned.vertices
    changed = msgspec.structs.replace(SPEC, vertices=[A, B, msgspec.structs.replace(C, on_error="retry")])
    again, _ = plan_redeploy(planned, changed, done)
    assert again.vertices[2].inputs == planned.vertices[2].inputs and again.vertices[2].generation == 3


def test_messages_are_void_from_then_until_the_writer_has_gone_back() -> None:
    voids = [Void(7, 2)]
    assert not is_void(voids, Commit(epoch=1, number=7))
    assert is_void(voids, Commit(epoch=1, number=8))
    assert not is_void(voids, Commit(epoch=2, number=91, rewound=2))


def test_a_vertex_whose_state_then_is_gone_begins_empty_at_the_position() -> None:
    past = {"b": Past(None, first=60, is_whole=False)}
    found = plan(Facts(50, past=past, held=HELD), "b", commits={**NOW, "c": Commit(epoch=1, number=3)})
    assert found["b"].rewind == Rewind(2, 50, needed=[51], state="empty") and found["b"].starts == {"a.out>in": 50}
    planned, _ = plan_redeploy(SPEC, SPEC, {**NOW, "c": Commit(epoch=1, number=3)}, found)
    assert planned.vertices[1].inputs[0].start == 50


def test_a_large_state_without_its_snapshot_begins_empty() -> None:
    past = {"b": Past(msgspec.structs.replace(B_THEN, floor={"a.out>in": (35, 0)}), 48, snapshot=0, first=10, is_whole=False)}
    facts = Facts(50, past=past, held=HELD)
    assert plan(facts, "b", commits={})["b"].rewind.state == "empty"
    past["b"] = Past(past["b"].then, 48, 36, 10, is_whole=False)
    assert plan(Facts(50, past=past, held=HELD), "b", commits={})["b"].rewind == Rewind(2, 50, 48, 36, [35], "kept")


def test_a_vertex_that_had_not_begun_begins_anew() -> None:
    held = {FROM_A: Held(5, is_whole=True, later=5)}
    found = plan(Facts(1, past={"b": Past(first=9)}, held=held), "b", commits={})
    assert found["b"].rewind == Rewind(2, 1, state="none yet") and found["b"].after == 0


def test_a_position_that_was_trimmed_is_refused_with_the_oldest_by_vertex() -> None:
    error = refused(Facts(20, past={"b": Past(first=60, is_whole=False), "c": Past(first=61, is_whole=False)}, held=HELD))
    assert error.code == "redeploy.trimmed" and error.facts["oldest"] == {"b": 30, "c": 31}
    assert error.hint is not None and "--from '#31'" in error.hint


def test_a_time_before_the_oldest_message_does_not_count_as_held() -> None:
    past = {"b": Past(first=60, is_whole=False)}
    assert refused(Facts(30, by_time=True, past=past, held=HELD), "b").facts["oldest"] == {"b": 31}


def test_a_source_goes_back_only_where_its_cursor_is_known() -> None:
    error = refused(Facts(20, past={"a": Past(first=30, is_whole=False)}), "a", commits={})
    assert error.facts["oldest"] == {"a": 31}
    then = Commit(epoch=1, number=3, cursor="AQ==")
    assert plan(Facts(40, past={"a": Past(then, 35, first=30, is_whole=False)}), "a", commits={})["a"].rewind.commit == 35


def test_what_came_from_outside_has_to_be_there_still() -> None:
    inlet = VertexSpec("i", "input@1.0.0", "sha256:4", "m", "source", outputs={"out": "int"}, endpoint="in")
    spec, subject = DeploymentSpec("w", "d", "b", [inlet]), subjects.inlet("w", "d", "i")
    past = {"i": Past(Commit(epoch=1, number=3, positions={"outside>in": (20, 1)}), 35, first=10, is_whole=False)}
    found = plan_rewinds(spec, spec, {}, ["i"], Facts(40, past=past, held={subject: Held(20, is_whole=False)}))
    assert found["i"].rewind == Rewind(2, 40, commit=35, needed=[20])
    with pytest.raises(RejectedError) as error:
        plan_rewinds(spec, spec, {}, ["i"], Facts(40, past=past, held={subject: Held(36, is_whole=False)}))
    assert error.value.facts["oldest"] == {"i": 37}


def test_a_reader_that_has_ended_has_to_go_back_with_its_writer() -> None:
    error = refused(Facts(50, past=PAST, held=HELD), "b")
    assert error.code == "redeploy.ended" and error.hint is not None and error.hint.endswith("--vertex b --vertex c")


def test_what_had_ended_before_the_position_stays_as_it_is() -> None:
    ended = {"b": Past(NOW["b"], 48, first=10, is_whole=False), "c": Past(NOW["c"], 49, first=11, is_whole=False)}
    assert refused(Facts(99, past=ended, held=HELD)).code == "redeploy.position"


def test_all_that_read_inputs_go_back_unless_some_are_named() -> None:
    assert choose_vertices(SPEC, SPEC, NOW, []) == ["b", "c"]
    assert choose_vertices(SPEC, SPEC, NOW, ["a"]) == ["a"]
    with pytest.raises(RejectedError, match="has no vertex x"):
        choose_vertices(SPEC, SPEC, NOW, ["x"])


def test_nothing_goes_back_twice_at_once() -> None:
    waiting = msgspec.structs.replace(SPEC, vertices=[A, msgspec.structs.replace(B, rewind=Rewind(2, 50)), C])
    with pytest.raises(RejectedError) as error:
        choose_vertices(waiting, SPEC, NOW, [])
    assert error.value.code == "redeploy.going_back"


def test_nothing_goes_back_behind_a_change_of_its_partitions_or_of_those_that_it_reads() -> None:
    """What the retired partitions did is not done again, and a commit of before knows none of the new ones."""
    b, new = (msgspec.structs.replace(B, **about) for about in ({"retired": 2}, {"name": "b~1"}))
    edges = [EdgeSpec(name, "out", "in", "int") for name in ("b", "b~1")]
    spec = msgspec.structs.replace(SPEC, vertices=[A, b, new, msgspec.structs.replace(C, inputs=edges)])
    now = {name: Commit(epoch=1, number=90) for name in ("a", "b", "b~1", "c")}
    assert choose_vertices(spec, spec, now, []) == ["b~1", "c"]
    assert choose_vertices(spec, spec, now, ["b"]) == ["b~1"], "a vertex is named, and its partitions go back"
    with pytest.raises(RejectedError, match="no vertex d"):
        choose_vertices(spec, spec, now, ["b", "d"])
    own = subjects.port("w", "d", "b~1", "out")
    held = {FROM_A: Held(), FROM_B: Held(31, is_whole=False), own: Held(62, is_whole=False, later=62)}

    def oldest(past: dict[str, Past], *chosen: str) -> dict[str, int]:
        with pytest.raises(RejectedError) as error:
            plan_rewinds(spec, spec, now, chosen, Facts(50, past=past, held=held))
        assert error.value.code == "redeploy.trimmed"
        return dict(error.value.facts["oldest"])

    assert oldest({"b~1": Past(first=60)}, "b~1") == {"b~1": 61}
    assert oldest({"c": Past(C_THEN, 49, first=11, is_whole=False)}, "c") == {"c": 62}
    held[own] = Held(60)
    found = plan_rewinds(spec, spec, now, ["c"], Facts(50, past={"c": PAST["c"]}, held=held))
    assert found["c"].rewind.state == "kept", "all that the new ones wrote is there to be read again"
