"""Dead letters that are given again: worked on once, by what the vertex is now, whatever is restarted in between."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from thalweg import RecordError, component
from thalweg.graph.parse import parse_type
from thalweg.graph.types import INT
from thalweg.runtime.assemble import assemble
from thalweg.runtime.engine import Cut, Engine, Limits, Turn
from thalweg.runtime.inputs import BEGINNING, Message
from thalweg.sdk.component import component_of
from thalweg.sdk.release import ComponentRelease
from thalweg.testing.run import pack
from thalweg.testing.vertex import vertex_of
from thalweg.wire.batch import batch_decoder
from thalweg.wire.commit import Commit
from thalweg.wire.dead_letters import AGAIN_KEY, Letter, decode_again, decode_letters, encode_again, is_settled, settle
from thalweg.wire.spec import OnError

EDGE = "from_in.out>in"
REFUSED = {3}


@dataclass
class Seen:
    """Numbers so far."""

    numbers: list[int] = field(default_factory=list)
    filling: str = ""


@component("choosy", version="1.0.0")
class Choosy:
    """Gives what it has seen so far, and refuses some numbers for now."""

    state: Seen

    def process(self, record: int) -> int:
        """The number."""
        if record in REFUSED:
            raise RecordError(f"{record} is refused for now")
        self.state.numbers.append(record)
        return record


@component("choosy-batches", version="1.0.0")
def choosy_batches(batch: list[int]) -> list[int]:
    """The same, for lists."""
    if REFUSED & set(batch):
        raise RecordError("refused for now")
    return batch


@component("spacious", version="1.0.0")
class Spacious(Choosy):
    """The same, with a state that is not written with every commit."""

    def process(self, record: int) -> int:
        """The number."""
        self.state.filling = "x" * 10_000
        return super().process(record)


@pytest.fixture(autouse=True)
def refusing() -> None:
    REFUSED.clear()
    REFUSED.add(3)


def engine_of(target: Any, on_error: OnError = "dead-letter") -> Engine:
    release = ComponentRelease(component_of(target), "")
    return assemble(vertex_of(release, "v", {"in": INT}, on_error=on_error), release, {}, {}, Limits(wait_s=60), parse_type)


def run(engine: Engine, messages: list[Message]) -> Cut:
    for message in messages:
        engine.offer(message)
    while engine.step() is not Turn.IDLE:
        assert engine.failure is None, engine.failure
    return engine.cut()


def values(cut: Cut) -> list[int]:
    return [value for port, body in cut.parts if port == "out" for value in batch_decoder(int).decode(body).v]


def again(letters: list[Letter], sequence: int = 50, closed: int = 1) -> Message:
    return Message(AGAIN_KEY, sequence, sequence, encode_again(letters, 0, closed, {9: []}), BEGINNING, False)


def refused(target: Any) -> tuple[Engine, Cut, list[Letter]]:
    """An engine that has kept 3 aside."""
    engine = engine_of(target)
    engine.restore(None, None)
    cut = run(engine, pack(EDGE, [1, 2, 3, 4], [10, 20, 30, 40], INT, 4)[:1])
    (body,) = (body for port, body in cut.parts if port == "_dead")
    return engine, cut, decode_letters(body)


@pytest.mark.parametrize("target", [Choosy, choosy_batches])
def test_a_letter_that_comes_again_is_worked_on_as_the_record_that_it_was(target: Any) -> None:
    engine, cut, (letter,) = refused(target)
    assert (letter.port, letter.time, letter.code, letter.whole) == ("in", 30, "data.invalid", True)
    REFUSED.clear()
    after = run(engine, [again([letter])])
    assert values(after) == [3]
    (body,) = (body for port, body in after.parts if port == "out")
    batch = batch_decoder(int).decode(body)
    assert list(batch.ids()) == [letter.id] and batch.t == [30]
    counters = after.commit.counters
    assert (counters.records_in, counters.dead, counters.redriven, counters.open_letters) == (4, 1, 1, 0)
    assert cut.commit.dead_commits == 1 and after.commit.dead_commits == 0 and after.commit.watermark == cut.commit.watermark
    engine.program.close()


def restarted(target: Any, commit: Commit, cut: Cut) -> Engine:
    state = next((body for port, body in cut.parts if port == "_state"), None)
    if state is None:
        inline = next(body for port, body in cut.parts if port == "out")
        state = batch_decoder(int).decode(inline).s
    engine = engine_of(target)
    engine.restore(commit, state)
    return engine


@pytest.mark.parametrize("target", [Choosy, Spacious])
def test_a_copy_that_starts_after_it_neither_does_it_again_nor_forgets_it(target: Any) -> None:
    engine, _, letters = refused(target)
    REFUSED.clear()
    after = run(engine, [again(letters)])
    copy = restarted(target, after.commit, after)
    assert copy.positions[AGAIN_KEY] == (50, 1) and copy.program.instance.state.numbers == [1, 2, 4, 3]
    five = pack(EDGE, [5], [50], INT, 4)[0]
    late = run(copy, [again(letters), dataclasses.replace(five, first=60, last=60)])  # the same message is offered once more
    assert values(late) == [5] and late.commit.counters.redriven == 1
    for one in (engine, copy):
        one.program.close()


def test_a_letter_that_is_refused_again_is_a_letter_again() -> None:
    engine, _, letters = refused(Choosy)
    after = run(engine, [again(letters)])
    (body,) = (body for port, body in after.parts if port == "_dead")
    (letter,) = decode_letters(body)
    assert letter.id == letters[0].id and letter.value == letters[0].value and letter.where == "given again"
    counters = after.commit.counters
    assert (counters.dead, counters.redriven, counters.open_letters, after.commit.dead_commits) == (2, 1, 1, 1)


def test_a_value_of_another_type_is_a_letter_again() -> None:
    engine, _, letters = refused(Choosy)
    after = run(engine, [again([msgspec.structs.replace(letters[0], value=msgspec.msgpack.encode("three"))])])
    (body,) = (body for port, body in after.parts if port == "_dead")
    (letter,) = decode_letters(body)
    assert "not of the type" in letter.error and msgspec.msgpack.decode(letter.value) == "three"


def test_dropped_letters_are_counted_and_make_room() -> None:
    engine, _, _ = refused(Choosy)
    after = run(engine, [Message(AGAIN_KEY, 50, 50, encode_again([], 1, 1, {9: []}), BEGINNING, False)])
    assert (after.commit.counters.given_up, after.commit.counters.open_letters, after.commit.dead_commits) == (1, 0, 0)
    assert values(after) == []


def test_what_is_settled_is_known_by_message() -> None:
    settled, closed = settle({}, [(5, 0), (5, 2), (8, 0)], {5: 3, 8: 1})
    assert (settled, closed) == ({5: [0, 2], 8: []}, 1)
    assert is_settled(settled, 5, 2) and not is_settled(settled, 5, 1) and is_settled(settled, 8, 0) and not is_settled(settled, 9, 0)
    assert settle(settled, [(5, 1)], {5: 3}) == ({5: []}, 1)  # message 8 is gone
    assert decode_again(encode_again([], 2, 1, settled)) == (1, settled)


def test_a_letter_too_long_is_not_whole() -> None:
    engine = engine_of(Choosy)
    engine.restore(None, None)
    engine.program.context.port = "in"
    engine.faults.settle(RecordError("no"), "x" * 2_000_000, 7)
    body = engine.faults.cut()
    assert body is not None and not decode_letters(body)[0].whole
