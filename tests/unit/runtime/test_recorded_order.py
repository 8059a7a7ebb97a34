"""A vertex that follows the order of another run: whatever comes first, and whatever is killed, it takes its inputs as that run did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from thalweg import component
from thalweg.runtime.engine import Turn
from thalweg.runtime.inputs import Message
from thalweg.runtime.recorded_order import RecordedOrder
from thalweg.wire.batch import batch_decoder
from unit.runtime.simulator import Simulation, stream

_batches = batch_decoder(msgspec.Raw)


@dataclass
class Seen:
    """Too large for every commit, so that a restart reads inputs again."""

    pad: bytes = b"x" * 9_000
    told: list[int] = field(default_factory=list)


@component("mixed", version="1.0.0", combine="arrival")
class Mixed:
    """Each number with all that came before it."""

    state: Seen

    def on_a(self, record: int) -> list[int]:
        """One of a."""
        self.state.told.append(record)
        return list(self.state.told)

    def on_b(self, record: int) -> list[int]:
        """One of b."""
        return self.on_a(-record)


def _inputs() -> dict[str, list[Message]]:
    return {"a": stream(list(range(1, 20))), "b": stream(list(range(100, 115)), batch=2)}


def _order(log: list[Message]) -> Callable[[], RecordedOrder]:
    """What a recording of that log says."""

    def make() -> RecordedOrder:
        order = RecordedOrder(sorted({one.edge for one in log}))
        for one in log:
            order.add(one.edge, _batches.decode(one.body).ids())
        return order

    return make


@pytest.mark.parametrize("order", range(4))
def test_inputs_are_taken_as_they_were_whatever_comes_first_and_whatever_is_killed(order: int) -> None:
    before = Simulation(Mixed, _inputs())
    expected = before.run(order=order)
    again = Simulation(Mixed, _inputs(), follows=_order(before.log(order)))
    assert expected.values() != Simulation(Mixed, _inputs()).run(order=order + 100).values()
    for seed in range(15):
        found = again.run(seed, order=order + 100)
        assert found.values() == expected.values()
        assert found.digests == expected.digests and found.counters == expected.counters


@pytest.mark.parametrize("seed", range(8))
def test_commits_say_in_which_order_inputs_were_taken(seed: int) -> None:
    before = Simulation(Mixed, _inputs())
    left = before.run(seed, order=1)
    told = [(list(one.positions)[edge], count) for one in left.commits for edge, count in one.taken]
    taken = [key for key, count in told for _ in range(count)]
    assert taken == [one.edge for one in before.log(1) for _ in _batches.decode(one.body).v]


def _took(again: Simulation, *arriving: str) -> list[Any]:
    """What an engine has taken, once the next message of each of these ports has come."""
    engine, log = again.engine(), {port: list(messages) for port, messages in again.inputs.items()}
    engine.restore(None, None)
    keys = {edge.dst_port: edge.key for edge in again.spec.inputs}
    for port in arriving:
        message = log[port].pop(0)
        engine.offer(Message(keys[port], message.first, message.last, message.body, message.watermark, message.ended))
    while engine.step() is not Turn.IDLE:
        pass
    last = [msgspec.msgpack.decode(one) for one in engine.outbox.ports["out"].parts][-1:]
    silent = engine.blocking_edge()
    engine.program.close()
    return [*(last[0] if last else []), silent]


def _simulation(runs: list[tuple[str, list[int]]], **inputs: list[int]) -> Simulation:
    """A vertex that follows stretches of (port, numbers), as recorded, while its inputs bring these numbers."""
    found = Simulation(Mixed, {port: stream(values, batch=1) for port, values in inputs.items()})
    keys = {edge.dst_port: edge.key for edge in found.spec.inputs}
    recorded = {port: [value for one, values in runs if one == port for value in values] for port in inputs}
    ids = {
        (port, value): _batches.decode(message.body).ids()[0]
        for port, values in recorded.items()
        for value, message in zip(values, stream(values, batch=1), strict=False)
    }

    def make() -> RecordedOrder:
        order = RecordedOrder(list(keys.values()))
        for port, values in runs:
            order.add(keys[port], [ids[port, value] for value in values])
        return order

    found.follows = make
    return found


def test_a_record_waits_for_those_that_came_before_it_on_other_inputs() -> None:
    again = _simulation([("a", [1, 2]), ("b", [7]), ("a", [3])], a=[1, 2, 3], b=[7])
    assert _took(again, "b") == ["from_a.out>a"]
    assert _took(again, "b", "a") == [1, "from_a.out>a"]
    assert _took(again, "b", "a", "a") == [1, 2, -7, None]
    assert _took(again, "a", "a", "a", "a") == [1, 2, "from_b.out>b"]


def test_nothing_is_waited_for_that_was_not_there() -> None:
    again = _simulation([("a", [1]), ("b", [7])], a=[1, 2, 3], b=[7])
    assert _took(again, "a", "a", "a", "b") == [1, 2, 3, -7, None]  # 2 and 3 are new: right behind 1
    assert _took(again, "a", "b") == [1, -7, None]


def test_what_does_not_come_any_more_is_passed_over_once_the_next_one_is_there_or_the_end() -> None:
    again = _simulation([("b", [6]), ("a", [1]), ("b", [7]), ("a", [2])], a=[1, 2], b=[6])
    assert _took(again, "a", "b", "a") == [-6, 1, "from_b.out>b"]
    assert _took(again, "a", "b", "a", "b") == [-6, 1, 2, None]
