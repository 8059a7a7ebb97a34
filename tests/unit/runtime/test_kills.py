"""Whatever is killed and however commits are cut: the same records, times, ids, progress, digests, counters and dead letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from thalweg import At, Bad, Context, Emit, RecordError, component
from thalweg.runtime import faults
from thalweg.runtime.inputs import BEGINNING, Message
from thalweg.wire.batch import encode_batch
from thalweg.wire.commit import END_OF_TIME
from unit.runtime.simulator import Left, Simulation, stream

SEEDS = range(25)
COUNT = 40
_encode = msgspec.msgpack.encode


@dataclass
class N:
    """A number."""

    n: int


@dataclass
class Sum:
    """Small state."""

    total: int = 0


@dataclass
class Large:
    """State too large for every commit."""

    pad: bytes = b"x" * 9_000
    total: int = 0
    open: list[int] = field(default_factory=list)


@component("same", version="1.0.0")
def same(record: N) -> N:
    """Every record."""
    return record


@component("odd", version="1.0.0")
def odd(record: N) -> N | None:
    """Odd ones only."""
    return record if record.n % 2 else None


@component("some", version="1.0.0")
def some(record: N) -> Iterator[N]:
    """None, one or two of each."""
    for part in range(record.n % 3):
        yield N(record.n * 10 + part)


@component("ports", version="1.0.0")
class Ports:
    """Two ports, and times of its own."""

    outputs = {"low": N, "high": N}  # noqa: RUF012

    def process(self, record: N, context: Context) -> Iterator[Emit[N]]:
        """Small ones to one port, every other to both."""
        yield Emit(record, port="low" if record.n < 20 else "high", time_ns=context.time_ns + 50 * (record.n % 4 == 0))
        if record.n % 2:
            yield Emit(N(-record.n), port="low")


@component("totals", version="1.0.0")
class Totals:
    """Running total; gives the state object itself."""

    state: Sum

    def process(self, record: N, context: Context) -> Sum:
        """The total."""
        self.state.total += record.n
        if record.n % 5 == 0:
            context.count_late()
        return self.state

    def finish(self, context: Context) -> Iterator[Sum]:
        """The total, twice."""
        yield self.state
        yield Sum(self.state.total + 1)


@component("large", version="1.0.0")
class LargeTotals:
    """Running total in large state."""

    state: Large

    def process(self, record: N) -> N:
        """The total."""
        self.state.total += record.n
        return N(self.state.total)

    def finish(self, context: Context) -> Emit[N]:
        """The total, at a time of its own."""
        return Emit(N(self.state.total), time_ns=10_000)


@component("windows", version="1.0.0")
class Windows:
    """Holds each record back until event time has passed it, in large state."""

    state: Large
    outputs = {"out": N}  # noqa: RUF012

    def process(self, record: N, context: Context) -> None:
        """Opens."""
        self.state.open.append(context.time_ns + 5)

    def on_watermark(self, watermark_ns: int, context: Context) -> Iterator[Emit[N]]:
        """Closes."""
        due = [one for one in self.state.open if one <= watermark_ns]
        self.state.open = [one for one in self.state.open if one > watermark_ns]
        for one in due:
            yield Emit(N(one), one - 1)


@component("merge", version="1.0.0")
class Merge:
    """Two inputs by event time, in large state."""

    state: Large

    def on_a(self, record: N) -> N:
        """As it is."""
        self.state.total += 1
        return record

    def on_b(self, record: N) -> N:
        """With what came before it."""
        return N(record.n * 1000 + self.state.total)


@component("arrivals", version="1.0.0", combine="arrival")
class Arrivals:
    """Two inputs as they come."""

    state: Large

    def on_a(self, record: N) -> N:
        """As it is."""
        self.state.total += 1
        return record

    def on_b(self, record: N) -> N:
        """With what came before it."""
        return N(record.n * 1000 + self.state.total)


@component("latest", version="1.0.0", combine="latest")
def latest(a: N, b: N) -> N:
    """The latest of each."""
    return N(a.n * 1000 + b.n)


@component("pairs", version="1.0.0", combine="zip")
def pairs(a: N, b: N) -> N:
    """One of each."""
    return N(a.n * 1000 + b.n)


@component("lists", version="1.0.0")
def lists(batch: list[N]) -> list[N | None]:
    """Refuses a list with a multiple of seven in it; filters multiples of five."""
    if any(one.n % 7 == 0 for one in batch):
        raise ValueError("a multiple of seven")
    return [None if one.n % 5 == 0 else N(one.n + 1) for one in batch]


@component("list-totals", version="1.0.0")
class ListTotals:
    """Takes lists; changes its state before it refuses one."""

    state: Sum

    def process(self, batch: list[N]) -> list[N]:
        """Running totals."""
        found = []
        for one in batch:
            self.state.total += one.n
            found.append(N(self.state.total))
            if one.n % 7 == 3:
                raise ValueError("not this one")
        return found


@component("half", version="1.0.0")
class Half:
    """Emits and changes its state, then refuses every fourth record."""

    state: Sum

    def process(self, record: N) -> Iterator[N]:
        """A number, and the total behind it."""
        yield record
        self.state.total += record.n
        if record.n % 4 == 0:
            raise ValueError("a multiple of four")
        yield N(self.state.total)


@component("odd-values", version="1.0.0")
def odd_values(record: N) -> Emit[Any] | Any:
    """Results that have no place on the wire, or no time there."""
    bad = {3: 2**64, 4: -(2**63) - 1, 5: "\ud800", 6: {"a": {"b": 2**70}}, 7: ["\udfff"]}
    if record.n in (11, 12):
        return Emit(record.n, time_ns=2**63 if record.n == 11 else -(2**63))
    return bad.get(record.n, record.n)


class Range(BaseModel):
    """How many."""

    count: int = COUNT


@component("counting", version="1.0.0")
def counting(params: Range, cursor: int | None) -> Iterator[At[N] | Bad]:
    """With cursors, faulty pieces, times that fall back."""
    for n in range(cursor or 0, params.count):
        if n % 9 == 4:
            yield Bad(RecordError("nine", where=f"row {n}"), str(n), n + 1)
        else:
            yield At(N(n), n + 1, time_ns=2**70 if n == 21 else n * 10 - 25 * (n % 5 == 0))


@component("plain-source", version="1.0.0")
def plain_source(params: Range) -> Iterator[int | Emit[int]]:
    """Without cursors."""
    for n in range(params.count):
        yield Emit(n, time_ns=n * 3) if n % 4 == 0 else n


def numbers(*gaps: int) -> dict[str, list[Message]]:
    """One input for each gap between its event times."""
    names = ("in",) if len(gaps) == 1 else ("a", "b", "c")
    return {name: stream([N(n) for n in range(COUNT)], [n * gap for n in range(COUNT)]) for name, gap in zip(names, gaps, strict=False)}


def jumping() -> dict[str, list[Message]]:
    """One input whose progress is not that of its event times."""
    return {"in": stream([N(n) for n in range(COUNT)], [n * 10 + 155 * (n % 7 == 3) - 40 * (n % 6 == 1) for n in range(COUNT)])}


def silent() -> dict[str, list[Message]]:
    """Behind each record a message without any, whose watermark goes further: what a filter writes."""
    found = list[Message]()
    for n in range(20):
        base = BEGINNING if n == 0 else n * 10 - 10
        found.append(Message("", 0, 0, encode_batch([_encode({"n": n})], [n * 10], [n], base, None), n * 10, False))
        found.append(Message("", 0, 0, encode_batch([], [], [], n * 10, None), n * 10 + 7, False))
    return {"in": [*found, Message("", 0, 0, encode_batch([], [], [], 190, None), END_OF_TIME, True)]}


SHAPES: dict[str, Callable[[], Simulation]] = {
    "a function": lambda: Simulation(same, numbers(10), N),
    "a function behind times that jump": lambda: Simulation(same, jumping(), N),
    "a filter": lambda: Simulation(odd, jumping(), N),
    "a generator": lambda: Simulation(some, numbers(10), N),
    "several ports": lambda: Simulation(Ports, numbers(10), N),
    "small state, one object given again and again": lambda: Simulation(Totals, numbers(10), N),
    "large state": lambda: Simulation(LargeTotals, numbers(10), N),
    "large state with dead letters allowed": lambda: Simulation(LargeTotals, numbers(10), N, on_error="dead-letter"),
    "windows in large state behind silent messages": lambda: Simulation(Windows, silent(), N),
    "windows in large state": lambda: Simulation(Windows, jumping(), N),
    "a merge by event time": lambda: Simulation(Merge, numbers(10, 7), N),
    "a merge by event time with ties": lambda: Simulation(Merge, numbers(5, 5), N),
    "the latest of two": lambda: Simulation(latest, numbers(10, 7), N),
    "a zip": lambda: Simulation(pairs, numbers(10, 7), N),
    "a zip with one input longer": lambda: Simulation(pairs, {**numbers(10, 7), "b": stream([N(n) for n in range(30)])}, N),
    "lists with dead letters": lambda: Simulation(lists, numbers(10), N, on_error="dead-letter"),
    "lists with state and dead letters": lambda: Simulation(ListTotals, numbers(10), N, on_error="dead-letter"),
    "half done records that die": lambda: Simulation(Half, numbers(10), N, on_error="dead-letter"),
    "values and times without a place on the wire": lambda: Simulation(odd_values, numbers(10), N, on_error="dead-letter"),
    "a source with cursors and faulty pieces": lambda: Simulation(counting, on_error="dead-letter"),
    "a source without cursors": lambda: Simulation(plain_source),
}


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "FIRST_PAUSE_S", 0.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_kills_and_cuts_change_nothing(shape: str) -> None:
    undisturbed = SHAPES[shape]().run()
    assert undisturbed.failure is None and any(undisturbed.records.values())
    for seed in SEEDS:
        assert SHAPES[shape]().run(seed) == undisturbed, seed


@pytest.mark.parametrize("order", range(4))
def test_a_merge_by_arrival_repeats_the_order_of_the_log(order: int) -> None:
    undisturbed = Simulation(Arrivals, numbers(10, 7), N).run(order=order)
    for seed in SEEDS:
        assert Simulation(Arrivals, numbers(10, 7), N).run(seed, order) == undisturbed, seed


def test_a_state_object_that_is_returned_is_written_as_it_was_then() -> None:
    left = Simulation(Totals, numbers(10), N).run()
    assert [one["total"] for one in left.values()][:5] == [0, 1, 3, 6, 10]


def test_large_state_is_rebuilt_from_a_floor() -> None:
    commits = Simulation(LargeTotals, numbers(10), N).run(1).commits
    assert any(one.floor not in (None, one.positions) for one in commits)


def test_what_cannot_be_written_dies_alone() -> None:
    left = Simulation(odd_values, numbers(10), N, on_error="dead-letter").run()
    assert left.values() == [n for n in range(COUNT) if n not in (3, 4, 5, 6, 7, 11, 12)]
    assert [one["where"] for one in left.dead] == [f"record {n + 1}" for n in (3, 4, 5, 6, 7, 11, 12)]


@pytest.mark.parametrize("n", [3, 5, 6, 11])
def test_what_cannot_be_written_fails_alike_in_any_batch(n: int) -> None:
    messages = stream([N(one) for one in [*range(20, 30), n]])
    undisturbed = Simulation(odd_values, {"in": messages}, N).run()
    assert undisturbed.failure is not None and undisturbed.failure.message.startswith("v: record 11: port out: ")
    for seed in SEEDS:
        found = Simulation(odd_values, {"in": messages}, N).run(seed)
        assert (found.failure, found.records) == (undisturbed.failure, undisturbed.records)


def test_dead_letters_are_counted_over_all_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = Simulation(lists, numbers(10), N, on_error="dead-letter").run()
    assert undisturbed.counters.dead == len(undisturbed.dead) == 6
    assert undisturbed.commits[-1].dead_commits == 1
    monkeypatch.setattr(faults, "MAX_DEAD_COMMITS", 2)
    codes = Counter[str]()
    for seed in SEEDS:
        left = Simulation(lists, numbers(10), N, on_error="dead-letter").run(seed)
        assert left.commits[-1].dead_commits <= 2
        codes[left.failure.code if left.failure else ""] += 1
    assert codes["dead_letters.full"] > 0


_failed: set[int] = set()


@component("flaky", version="1.0.0")
def flaky(record: N) -> Iterator[N]:
    """A generator that raises in the middle of its first attempt at some records."""
    yield record
    if record.n % 6 == 3 and record.n not in _failed:
        _failed.add(record.n)
        raise RuntimeError("transient")
    yield N(-record.n)


def test_a_generator_that_fails_once_is_tried_again_as_a_whole() -> None:
    def run(seed: int | None) -> Left:
        _failed.clear()
        left = Simulation(flaky, numbers(10), N, on_error="retry").run(seed)
        left.counters.errors = 0  # an attempt whose copy was killed leaves no trace
        return left

    undisturbed = run(None)
    assert undisturbed.values() == [{"n": one} for n in range(COUNT) for one in (n, -n)]
    for seed in SEEDS:
        assert run(seed) == undisturbed
