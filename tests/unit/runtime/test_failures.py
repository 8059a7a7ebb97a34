"""How a vertex fails: with one line, whatever raised; what one record breaks, and what a lost spool, an end mark, a restart do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from thalweg import Context, GeneratedFile, component
from thalweg.graph.parse import parse_type
from thalweg.runtime import faults
from thalweg.runtime.assemble import assemble
from thalweg.runtime.engine import Engine, Limits, Turn
from thalweg.runtime.inputs import Message
from thalweg.runtime.loop import VertexLoop
from thalweg.runtime.spool import Spool
from thalweg.wire.batch import encode_batch
from thalweg.wire.commit import END_OF_TIME, Commit
from unit.runtime.memory_log import MemoryLog
from unit.runtime.simulator import Simulation, stream, vertex_spec

EDGE = "from_in.out>in"


@component("raises-in-setup", version="1.0.0")
class RaisesInSetup:
    """Cannot start."""

    def setup(self, context: Context) -> None:
        """Raises."""
        raise ValueError("no model here")

    def process(self, record: int) -> int:
        """Never called."""
        return record


@component("leaves-in-setup", version="1.0.0")
class LeavesInSetup:
    """Ends its process at the start."""

    def setup(self, context: Context) -> None:
        """Leaves."""
        sys.exit(3)

    def process(self, record: int) -> int:
        """Never called."""
        return record


@component("raises-at-watermarks", version="1.0.0")
class RaisesAtWatermarks:
    """Cannot follow event time."""

    def process(self, record: int) -> int:
        """As it is."""
        return record

    def on_watermark(self, watermark_ns: int, context: Context) -> None:
        """Raises."""
        raise ValueError("no window")


@component("raises-at-its-end", version="1.0.0")
class RaisesAtItsEnd:
    """Cannot end."""

    def process(self, record: int) -> int:
        """As it is."""
        return record

    def finish(self, context: Context) -> Iterator[int]:
        """Raises after its first emission."""
        yield 1
        raise KeyError("total")


@component("leaves", version="1.0.0")
def leaves(record: int) -> int:
    """Ends its process."""
    if record == 5:
        sys.exit("enough")
    return record


@component("shouts", version="1.0.0")
def shouts(record: int) -> int:
    """Has much to say."""
    raise ValueError("é" * 1_000_000)


@component("endless", version="1.0.0")
def endless() -> Iterator[int]:
    """A source that ends its process."""
    yield 1
    sys.exit(0)


FAILURES: dict[str, tuple[Any, bool, str]] = {
    "setup raises": (RaisesInSetup, True, "v: before the first record: ValueError: no model here"),
    "setup ends the process": (LeavesInSetup, True, "v: before the first record: SystemExit: 3"),
    "on_watermark raises": (RaisesAtWatermarks, True, "v: ValueError: no window"),
    "finish raises": (RaisesAtItsEnd, True, "v: at the end of its input: KeyError: 'total'"),
    "a call ends the process": (leaves, True, "v: RuntimeError: the component ended its process: SystemExit('enough')"),
    "a source ends the process": (endless, False, "v: RuntimeError: the component ended its process: SystemExit(0)"),
}


@pytest.mark.parametrize("cause", FAILURES)
def test_whatever_raises_becomes_a_failure_with_one_line(cause: str) -> None:
    target, has_input, expected = FAILURES[cause]
    for seed in (None, 1, 2, 3):
        failure = Simulation(target, {"in": stream(list(range(10)))} if has_input else {}, int).run(seed).failure
        assert failure is not None and (failure.message, failure.code) == (expected, "component.raised")


@pytest.mark.parametrize("on_error", ["fail", "dead-letter"])
def test_what_a_failing_component_says_is_cut(on_error: Any) -> None:
    left = Simulation(shouts, {"in": stream([1])}, int, on_error).run()
    said = left.failure.message if left.failure is not None else left.dead[0]["error"]
    assert said.removeprefix("v: record 1: ").startswith("ValueError: ééé")
    assert len(said) == faults.MAX_TEXT


class Positive(BaseModel):
    """Accepts no zero."""

    n: int = Field(gt=0)


@dataclass
class Checked:
    """Accepts no zero."""

    n: int

    def __post_init__(self) -> None:
        """Checks."""
        if self.n <= 0:
            raise ValueError("n is not positive")


@dataclass
class Number:
    """Whatever upstream writes."""

    n: int


@component("positive", version="1.0.0")
def positive(record: Positive) -> int:
    """Its number."""
    return record.n


@component("positive-lists", version="1.0.0")
def positive_lists(batch: list[Positive]) -> list[int]:
    """Their numbers."""
    return [one.n for one in batch]


@component("positive-pairs", version="1.0.0", combine="latest")
def positive_pairs(a: Positive, b: Positive) -> int:
    """Both numbers."""
    return a.n * 100 + b.n


@component("checked", version="1.0.0")
def checked(record: Checked) -> int:
    """Its number."""
    return record.n


@pytest.mark.parametrize("target", [positive, positive_lists, checked])
def test_a_record_that_the_authors_class_refuses_dies_alone(target: Any) -> None:
    numbers = {"in": stream([Number(n) for n in (3, 4, 0, 5, -1, 6)])}
    undisturbed = Simulation(target, numbers, Number, "dead-letter").run()
    assert undisturbed.values() == [3, 4, 5, 6]
    assert [one["where"] for one in undisturbed.dead] == ["record 3", "record 5"]
    assert all("n" in one["error"] and "\n" not in one["error"] for one in undisturbed.dead)
    assert all(Simulation(target, numbers, Number, "dead-letter").run(seed) == undisturbed for seed in range(10))
    failure = Simulation(target, numbers, Number).run().failure
    assert failure is not None and failure.code == "component.raised" and failure.message.startswith("v: record 3: ")


def test_the_latest_records_of_a_pydantic_class_survive_a_restart() -> None:
    numbers = {port: stream([Number(n) for n in (3, 0, 5, 6)]) for port in ("a", "b")}
    undisturbed = Simulation(positive_pairs, numbers, Number, "dead-letter").run()
    assert undisturbed.values() == [303, 505, 605, 606]
    assert all(Simulation(positive_pairs, numbers, Number, "dead-letter").run(seed) == undisturbed for seed in range(20))


@component("both", version="1.0.0")
class Both:
    """Two inputs by event time."""

    def on_a(self, record: int) -> int:
        """As it is."""
        return record

    def on_b(self, record: int) -> int:
        """As it is."""
        return record


def _settle_all(engine: Engine) -> None:
    while engine.step() is not Turn.IDLE and not engine.finished:
        pass


def _settle(engine: Engine) -> Commit | None:
    _settle_all(engine)
    return engine.cut().commit if engine.needs_commit() else None


def test_the_marks_of_an_input_survive_a_restart() -> None:
    ended = [Message("from_a.out>a", 1, 1, stream([1, 2])[0].body, END_OF_TIME, True)]
    silent = [Message("from_b.out>b", 2, 2, encode_batch([], [], [], 0, None), 7, False)]
    last = [Message("from_b.out>b", 9, 9, stream([8])[0].body, END_OF_TIME, True)]
    simulation = Simulation(Both, {"a": ended, "b": [*silent, *last]}, int)
    first = simulation.engine()
    first.restore(None, None)
    for message in (*ended, *silent):
        first.offer(message)
    commit = _settle(first)
    assert commit is not None and (commit.counters.records_out, commit.watermark) == (2, 7)

    second = simulation.engine()
    second.restore(commit, None)
    for message in (*ended, *silent, *last):
        if message.first >= second.positions[message.edge][0]:
            second.offer(message)
    after = _settle(second)
    assert after is not None and after.ended and after.counters.records_out == 3


@component("at-its-end", version="1.0.0")
class AtItsEnd:
    """One emission, at the end, without a time of its own."""

    def process(self, record: int) -> None:
        """Nothing."""

    def finish(self, context: Context) -> Iterator[int]:
        """A number."""
        yield 1

    outputs = {"out": int}  # noqa: RUF012


def test_what_is_emitted_at_the_end_has_the_time_of_the_last_record_over_a_restart() -> None:
    *records, end = [Message(EDGE, n, n, one.body, one.watermark, one.ended) for n, one in enumerate(stream([1, 2, 3], [10, 20, 70]), 1)]
    simulation = Simulation(AtItsEnd, {"in": [*records, end]}, int)
    first, second = simulation.engine(), simulation.engine()
    first.restore(None, None)
    for message in records:
        first.offer(message)
    second.restore(_settle(first), None)
    second.offer(records[-1])
    second.offer(end)
    _settle_all(second)
    assert second.outbox.ports["out"].times == [70]


@component("kept", version="1.0.0")
class Kept:
    """Writes numbers to a file."""

    file: Annotated[GeneratedFile, "text", "numbers.txt"]

    def process(self, record: int) -> None:
        """A line."""
        with self.file.path.open("a") as file:
            file.write(f"{record}\n")


def _kept(folder: Path) -> Engine:
    spec, release = vertex_spec(Kept, {"in": parse_type("int")})
    path = folder / "numbers.txt"
    path.unlink(missing_ok=True)
    return assemble(spec, release, {}, {"file": path}, Limits(records=2), parse_type)


async def test_a_vertex_whose_spool_is_lost_fails_and_writes_no_half_file(tmp_path: Path) -> None:
    messages = [Message(EDGE, n + 1, n + 1, one.body, one.watermark, one.ended) for n, one in enumerate(stream(list(range(9))))]
    log, spool = MemoryLog(messages[:2]), Spool(tmp_path / "spool")
    loop = VertexLoop(_kept(tmp_path), log, spool, None)
    await log.run_until(loop, lambda commit: commit.counters.records_in == 6)
    again = _kept(tmp_path)
    await VertexLoop(again, MemoryLog(messages, log.commits), Spool(tmp_path / "spool"), None).run()
    assert again.ended and (tmp_path / "numbers.txt").read_text().split() == [str(n) for n in range(9)]

    (tmp_path / "spool").unlink()
    lost = _kept(tmp_path)
    await VertexLoop(lost, MemoryLog(messages, log.commits), Spool(tmp_path / "spool"), None).run()
    assert lost.failure is not None and lost.failure.code == "spool.lost"
