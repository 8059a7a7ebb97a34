"""A vertex at the boundary: what it takes from outside, when it ends, which record from outside a record comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

import thalweg
from thalweg import Context
from thalweg.errors import RejectedError, RunFailedError
from thalweg.graph.parse import parse_type
from thalweg.graph.pipeline import Pipeline
from thalweg.runtime.assemble import assemble
from thalweg.runtime.engine import Engine, Limits, Turn
from thalweg.runtime.inputs import Edge, Message
from thalweg.sdk.catalog import Catalog
from thalweg.sdk.component import component_of
from thalweg.sdk.release import ComponentRelease
from thalweg.testing import run_graph
from thalweg.testing.run import pack, send
from thalweg.wire.batch import Batch, batch_decoder
from thalweg.wire.boundary import inlet_id
from thalweg.wire.spec import INLET_KEY, EdgeSpec, VertexSpec

LIMITS = Limits(wait_s=3600.0)
DOOR = VertexSpec("door", "http-in@1.0.0", "", "", "source", params={"type": "int"}, outputs={"out": "int"}, endpoint="in")


@thalweg.component("twice", version="1.0.0")
def twice(n: int) -> Iterator[int]:
    """Each number twice; none of the odd ones."""
    if n % 2 == 0:
        yield n
        yield n


@dataclass
class Seen:
    count: int = 0


@thalweg.component("thirds", version="1.0.0")
class Thirds:
    """Says at the end how many there were."""

    state: Seen

    def process(self, n: int) -> int | None:
        """Counts."""
        self.state.count += 1
        return None

    def finish(self, context: Context) -> int:
        """The count."""
        return self.state.count


def door(stop_after: int | None = None) -> Engine:
    release = Catalog().find("http-in", "1.0.0")
    assert release is not None
    return started(assemble(msgspec.structs.replace(DOOR, stop_after=stop_after), release, {}, {}, LIMITS, parse_type, traced=True))


def started(engine: Engine) -> Engine:
    engine.restore(None, None)
    return engine


def written(engine: Engine) -> Batch[int]:
    return batch_decoder(int).decode(dict(engine.cut().parts)["out"])


def behind(target: Any, message: Message, *, traced: bool = True) -> Engine:
    release = ComponentRelease(component_of(target), __name__)
    edge = EdgeSpec("door", "out", "in", "int")
    spec = VertexSpec("behind", "c@1", "", "", "processor", inputs=[edge], outputs={"out": "int"}, on_error="dead-letter")
    engine = started(assemble(spec, release, {}, {}, LIMITS, parse_type, traced=traced))
    engine.offer(message)
    work(engine)
    return engine


def work(engine: Engine) -> None:
    while not engine.finished and engine.step() is not Turn.IDLE:
        pass


def from_door(*values: int) -> Message:
    (message, _) = pack("door.out>in", list(values), list(range(len(values))), parse_type("int"), 100)
    return message


def test_it_ends_behind_the_message_it_is_told_and_takes_no_later_one() -> None:
    engine, messages = door(), send("door", [10, 11, 12])
    engine.offer(messages[0])
    work(engine)
    assert not engine.finished
    engine.drain_after(2)
    work(engine)
    assert not engine.finished
    engine.offer(messages[1])
    engine.offer(messages[2])
    work(engine)
    assert engine.finished and engine.drained
    assert written(engine).v == [10, 11]


def test_it_ends_after_as_many_records_as_it_is_told_and_takes_no_more() -> None:
    engine, messages = door(stop_after=2), send("door", [10, 11, 12, 13])
    engine.offer(messages[0])
    engine.step()
    assert not engine.finished
    for message in messages[1:3]:
        engine.offer(message)
    engine.step()
    engine.offer(messages[3])
    engine.step()
    assert engine.finished and not engine.drained
    assert engine.positions == {INLET_KEY: (2, 1)}
    assert written(engine).v == [10, 11]


def test_a_restart_behind_its_last_record_ends_it_likewise() -> None:
    first, messages = door(stop_after=2), send("door", [10, 11, 12])
    for message in messages[:2]:
        first.offer(message)
    first.step()
    commit = msgspec.structs.replace(first.cut().commit, ended=False)
    engine = door(stop_after=2)
    engine.restore(commit, None)
    engine.offer(messages[1])
    engine.offer(messages[2])
    engine.step()
    assert engine.finished
    assert written(engine).v == []


def test_it_ends_at_once_where_it_is_to_take_nothing() -> None:
    engine = door(stop_after=0)
    engine.step()
    assert engine.finished
    assert written(engine).v == []


def test_it_ends_at_once_where_nothing_came() -> None:
    engine = door()
    engine.drain_after(0)
    work(engine)
    assert engine.finished


def test_it_goes_on_behind_what_it_has_committed() -> None:
    first, messages = door(), send("door", [10, "eleven", 12])
    first.offer(messages[0])
    first.offer(messages[1])
    work(first)
    commit = first.cut().commit
    second = door()
    second.restore(commit, None)
    for message in messages[1:]:
        second.offer(message)
    work(second)
    assert written(second).v == [12] and second.standing.counters.dead == 1


def test_records_say_which_one_from_outside_they_come_from() -> None:
    batch = written(behind(twice, from_door(0, 1, 2)))
    roots = [inlet_id("door.out>in", 0), inlet_id("door.out>in", 2)]
    assert batch.r == [roots[0], roots[0], roots[1], roots[1]] and len(set(batch.ids())) == 4


def test_a_graph_without_an_input_endpoint_writes_what_it_always_wrote() -> None:
    assert written(behind(twice, from_door(0, 1, 2), traced=False)).r is None


def test_what_no_single_record_causes_has_no_root() -> None:
    engine = behind(Thirds, from_door(0, 1, 2))
    engine.edges[0].end_after(1)
    work(engine)
    batch = written(engine)
    assert (batch.v, batch.r) == ([3], [0])


def _graph(*edges: str) -> Pipeline:
    vertices = {
        "door": {"component": "http-in@1.0.0", "params": {"type": "record{n: int}"}},
        "double": {"component": "map@1.0.0", "params": {"fields": {"twice": "n * 2"}}},
        "show": {"component": "http-out@1.0.0"},
    }
    return Pipeline.model_validate({"backend": "b", "vertices": vertices, "edges": list(edges)})


def test_a_graph_with_endpoints_runs_in_memory() -> None:
    graph = _graph("door.out -> double.in", "double.out -> show.in")
    found = run_graph(graph, base=Path(), inputs={"door": [{"n": 1}, {"m": 2}, {"n": 3}]})
    assert [(one.n, one.twice) for one in found["show"].out] == [(1, 2), (3, 6)]
    assert "missing required field `n`" in found["door"].dead[0]["error"]


@pytest.mark.parametrize("edge", ["double.out -> door.in", "show.out -> double.in"])
def test_no_edge_goes_to_an_endpoint(edge: str) -> None:
    with pytest.raises(RejectedError, match="is its endpoint"):
        run_graph(_graph("door.out -> double.in", "double.out -> show.in", edge), base=Path())


def test_a_message_that_was_read_whole_need_not_be_of_the_type_that_a_redeploy_gave_its_edge() -> None:
    edge, message = Edge("up.out>in", "in", 0, str), from_door(1, 2)
    message = Message(edge.key, 7, 7, message.body, 5, False)
    edge.position = (7, 2)
    edge.offer(message)
    assert edge.head is None and edge.watermark == 5
    with pytest.raises(RunFailedError, match="not of the edge's type"):
        Edge("up.out>in", "in", 0, str).offer(message)
