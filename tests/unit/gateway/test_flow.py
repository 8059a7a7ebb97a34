"""When a record from outside has come to its end in a graph, decided from commits alone."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from thalweg.bus.follower import Delivered
from thalweg.wire import subjects
from thalweg.wire.boundary import RECORDS_HEADER
from thalweg.wire.commit import HEADER, Commit, Failure, encode_commit
from thalweg.wire.spec import INLET_KEY, DeploymentSpec, EdgeSpec, VertexSpec
from thalweg_gateway.flow import Flow, Progress, find_path, reachable_outlets

PLACE = ("w", "d")


def vertex(name: str, *sources: str, endpoint: str = "", ports: tuple[str, ...] = ("out",)) -> VertexSpec:
    edges = [EdgeSpec(source, "out", f"in{number}", "int") for number, source in enumerate(sources)]
    outputs = dict.fromkeys(ports, "int")
    return VertexSpec(name, "c@1", "", "", "processor", inputs=edges, outputs=outputs, endpoint=endpoint)  # type: ignore[arg-type]


DOOR, SHOW = vertex("door", endpoint="in"), vertex("show", "b", endpoint="out")
CHAIN = DeploymentSpec(*PLACE, "g", [DOOR, vertex("b", "door"), SHOW])
DIAMOND = DeploymentSpec(
    *PLACE,
    "g",
    [DOOR, vertex("other"), vertex("l", "door"), vertex("r", "door"), vertex("j", "l", "r", "other"), vertex("show", "j", endpoint="out")],
)


class Log:
    """A log of commits, as the gateway follows it."""

    def __init__(self, spec: DeploymentSpec) -> None:
        self.flow, self.sequence = Flow(spec), 100

    def commit(self, name: str, port: str = "out", records: int = 1, number: int = 1, **positions: tuple[int, int]) -> int:
        """A commit of one body; its sequence. Positions are by vertex that is read."""
        self.sequence += 1
        inputs = {one.src_vertex: one.key for vertex in self.flow.spec.vertices if vertex.name == name for one in vertex.inputs}
        keyed = {INLET_KEY if source == "outside" else inputs[source]: place for source, place in positions.items()}
        headers = {HEADER: encode_commit(Commit(1, number, positions=keyed)), RECORDS_HEADER: str(records)}
        self.flow.observe(Delivered(subjects.port(*PLACE, name, port), self.sequence, headers, b""))
        return self.sequence


def test_a_record_is_answered_when_every_vertex_on_its_way_is_past_it() -> None:
    log, progress, path = Log(CHAIN), Progress(7), find_path(CHAIN, "door", "show")
    assert path is not None
    log.commit("door", outside=(6, 1))
    assert not log.flow.advance(progress, path) and progress.passed == {}
    first = log.commit("door", records=3, number=2, outside=(7, 1))
    log.commit("b", door=(first, 2))
    log.commit("show", "_commit", b=(log.sequence, 9))
    assert not log.flow.advance(progress, path) and list(progress.passed) == ["door"]
    second = log.commit("b", records=0, number=2, door=(first, 3))
    assert not log.flow.advance(progress, path)
    log.commit("show", "_commit", number=2, b=(second, 0))
    assert log.flow.advance(progress, path)


def test_all_branches_have_to_be_past_it_and_no_others() -> None:
    log, progress, path = Log(DIAMOND), Progress(7), find_path(DIAMOND, "door", "show")
    assert path is not None and [one.name for one in path.vertices] == ["door", "l", "r", "j", "show"]
    door = log.commit("door", outside=(8, 0))
    left = log.commit("l", door=(door, 1))
    right = log.commit("r", door=(door, 0))
    log.commit("j", l=(left, 1), r=(right, 1))
    log.commit("show", "_commit", j=(log.sequence, 1))
    assert not log.flow.advance(progress, path)
    right = log.commit("r", number=2, door=(door, 1))
    joined = log.commit("j", number=2, l=(left, 1), r=(right, 1))
    log.commit("show", "_commit", number=2, j=(joined, 1))
    assert log.flow.advance(progress, path)


def test_a_commit_over_several_ports_counts_when_its_last_one_is_read() -> None:
    spec = DeploymentSpec(*PLACE, "g", [DOOR, vertex("b", "door", ports=("out", "rest")), SHOW])
    log, progress, path = Log(spec), Progress(7), find_path(spec, "door", "show")
    assert path is not None
    door = log.commit("door", outside=(7, 1))
    log.commit("b", "out", door=(door, 1))
    log.flow.advance(progress, path)
    assert "b" not in progress.passed
    log.commit("b", "rest", door=(door, 1))
    log.flow.advance(progress, path)
    assert "b" in progress.passed


@given(st.data())
def test_what_was_not_seen_only_makes_the_answer_later(data: st.DataObject) -> None:
    """Whatever commits a follower has missed, it never says that a record is past a vertex before it is."""
    log, whole = Log(CHAIN), Log(CHAIN)
    early, late, path = Progress(7), Progress(7), find_path(CHAIN, "door", "show")
    assert path is not None
    door = before = 0
    for number in range(1, 12):
        name = data.draw(st.sampled_from(["door", "b", "show"]))
        places: dict[str, Any] = {"door": {"outside": (number, 1)}, "b": {"door": (door, 1)}, "show": {"b": (before, 1)}}[name]
        is_seen = data.draw(st.booleans())
        for each in (log, whole) if is_seen else (whole,):
            each.sequence = number + 200
            sequence = each.commit(name, "_commit" if name == "show" else "out", number=number, **places)
        door, before = (sequence if name == "door" else door), (sequence if name == "b" else before)
        whole.flow.advance(late, path)
        if is_seen and log.flow.advance(early, path):
            assert path.outlet in late.passed


def test_a_vertex_that_has_failed_fails_what_is_not_past_it() -> None:
    log, path = Log(CHAIN), find_path(CHAIN, "door", "show")
    assert path is not None
    door = log.commit("door", outside=(7, 1))
    commit = Commit(1, 1, positions={"door.out>in0": (door, 0)}, failure=Failure("b: no", "component.raised"))
    log.flow.observe(Delivered(subjects.port(*PLACE, "b", "_commit"), 300, {HEADER: encode_commit(commit)}, b""))
    progress = Progress(7)
    assert not log.flow.advance(progress, path)
    failed = log.flow.failure(progress, path)
    assert failed is not None and failed[0] == "b"
    assert log.flow.failure(Progress(7, {"b": {}}), path) is None


def test_an_endpoint_answers_for_those_that_lead_to_it() -> None:
    spec = DeploymentSpec(*PLACE, "g", [DOOR, vertex("b", "door"), SHOW, vertex("aside", "other", endpoint="out")])
    assert reachable_outlets(spec, "door") == ["show"] and find_path(spec, "door", "aside") is None


def test_a_vertex_that_wrote_while_heads_were_read_is_not_taken_at_its_word() -> None:
    spec = DeploymentSpec(*PLACE, "g", [DOOR, vertex("b", "door", ports=("out", "rest")), SHOW])
    text = {number: encode_commit(Commit(1, number, positions={"door.out>in0": (90 + number, 1)})) for number in (5, 6)}

    def body(port: str, number: int, sequence: int) -> Delivered:
        return Delivered(subjects.port(*PLACE, "b", port), sequence, {HEADER: text[number], RECORDS_HEADER: "1"}, b"")

    flow = Flow(spec)
    flow.take_heads([body("rest", 5, 95), body("out", 6, 104)], 100)
    assert "b" not in flow.commits
    assert flow.observe(body("out", 6, 104)) is None and flow.observe(body("rest", 6, 105)) == "b"
    torn = Flow(spec)
    torn.take_heads([body("out", 5, 94), body("rest", 5, 95)], 100)
    assert torn.commits["b"].number == 5


def test_a_retired_partition_is_past_whatever_it_did_not_do_once_it_is_fenced_out() -> None:
    spec = DeploymentSpec(*PLACE, "g", [DOOR, replace(vertex("b", "door"), retired=2), vertex("b~1", "door"), vertex("show", "b", "b~1")])
    spec.vertices[-1] = replace(spec.vertices[-1], endpoint="out")
    log, progress, path = Log(spec), Progress(7), find_path(spec, "door", "show")
    assert path is not None
    first = log.commit("door", outside=(7, 1))
    before = log.commit("b", records=4, door=(first - 50, 1))
    new = log.commit("b~1", door=(first, 1))
    positions: dict[str, Any] = {"b": (before, 4), "b~1": (new, 1)}
    log.commit("show", "_commit", number=2, **positions)
    assert not log.flow.advance(progress, path) and "b" not in progress.passed, "it may still write"
    log.sequence += 1
    retired = {HEADER: encode_commit(Commit(2, 3, retired=2)), RECORDS_HEADER: "0"}
    log.flow.observe(Delivered(subjects.port(*PLACE, "b", "_commit"), log.sequence, retired, b""))
    assert log.flow.advance(progress, path)
