"""A source that blocks: what it has yielded is committed, and it stops, drains and fails over without coming back."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from thalweg import At, Context, Emit, component
from thalweg.errors import FencedOutError
from thalweg.graph.parse import parse_type
from thalweg.runtime.assemble import assemble
from thalweg.runtime.engine import Limits, Turn
from thalweg.runtime.loop import VertexLoop
from thalweg.runtime.source_thread import is_any_left
from thalweg.wire.commit import Commit
from unit.runtime.memory_log import MemoryLog
from unit.runtime.simulator import Simulation

PROMPT_S = 5.0  # far longer than it takes on a busy machine, far shorter than for ever
COUNT = 30
_gates: dict[int, threading.Event] = {}
_closed: list[str] = []


@pytest.fixture(autouse=True)
def _open_all() -> Iterator[None]:
    """Each test begins with every gate shut, and leaves no thread that waits."""
    _closed.clear()
    _gates.update({n: threading.Event() for n in range(COUNT)})
    yield
    for gate in _gates.values():
        gate.set()


class Waits(BaseModel):
    """Before each of these records, the source waits until its gate is opened."""

    at: list[int] = [10]


@component("gated", version="1.0.0")
def gated(params: Waits, cursor: int | None) -> Iterator[At[int]]:
    """Numbers."""
    for n in range(cursor or 0, COUNT):
        if n in params.at:
            _gates[n].wait()
        yield At(n, n + 1)


@component("gated-bare", version="1.0.0")
def gated_bare(params: Waits) -> Iterator[int | Emit[int]]:
    """Without cursors."""
    for n in range(COUNT):
        if n in params.at:
            _gates[n].wait()
        yield Emit(n, time_ns=n) if n % 4 == 3 else n


@component("gated-async", version="1.0.0")
async def gated_async(params: Waits, cursor: int | None) -> AsyncIterator[At[int]]:
    """Awaits."""
    for n in range(cursor or 0, COUNT):
        if n in params.at:
            await asyncio.to_thread(_gates[n].wait)
        yield At(n, n + 1)


@component("gated-late", version="1.0.0")
def gated_late(params: Waits) -> Iterator[int]:
    """Takes its time over each number as well."""
    for n in range(COUNT):
        time.sleep(0.003)
        if n in params.at:
            _gates[n].wait()
        yield n


SOURCES = {"plain": gated, "without cursors": gated_bare, "async": gated_async, "slow": gated_late}


def _loop(target: Any, log: MemoryLog, at: list[int]) -> VertexLoop:
    return VertexLoop(Simulation(target, params={"at": at}).engine(), log, None, None)


def _loop_of(target: Any, log: MemoryLog) -> VertexLoop:
    return VertexLoop(Simulation(target).engine(), log, None, None)


async def _until(log: MemoryLog, condition: Callable[[Commit], bool]) -> Commit:
    async with asyncio.timeout(PROMPT_S):
        while not (log.commits and condition(log.commits[-1])):
            log.written.clear()
            await log.written.wait()
    return log.commits[-1]


def _has(count: int) -> Callable[[Commit], bool]:
    return lambda commit: commit.counters.records_out == count


@pytest.mark.parametrize("kind", SOURCES)
async def test_what_a_source_yields_before_it_blocks_is_committed_and_a_drain_ends_it_there(kind: str) -> None:
    log = MemoryLog([])
    loop = _loop(SOURCES[kind], log, [10])
    running = asyncio.create_task(loop.run())
    await _until(log, _has(10))
    loop.drain()
    async with asyncio.timeout(PROMPT_S):
        await running
    assert (log.commits[-1].counters.records_out, log.commits[-1].ended, log.commits[-1].drained) == (10, True, True)
    assert loop.engine.ended


@pytest.mark.parametrize("kind", SOURCES)
async def test_records_between_two_silences_are_committed(kind: str) -> None:
    log = MemoryLog([])
    running = asyncio.create_task(_loop(SOURCES[kind], log, [4, 5, 13]).run())
    for count, gate in ((4, 4), (5, 5), (13, 13)):
        await _until(log, _has(count))
        _gates[gate].set()
    async with asyncio.timeout(PROMPT_S):
        await running
    assert log.commits[-1].ended and log.commits[-1].counters.records_out == COUNT


@pytest.mark.parametrize("kind", SOURCES)
async def test_a_blocked_source_that_is_killed_or_stopped_goes_on_exactly_once(kind: str) -> None:
    undisturbed = MemoryLog([])
    await _loop(SOURCES[kind], undisturbed, []).run()
    log = MemoryLog([])
    await log.run_until(_loop(SOURCES[kind], log, [7]), _has(7))
    _gates[7].set()
    second = MemoryLog([], log.commits)
    loop = _loop(SOURCES[kind], second, [7, 20])
    running = asyncio.create_task(loop.run())
    await _until(second, _has(20))
    loop.stop()
    async with asyncio.timeout(PROMPT_S):
        await running
    assert not loop.engine.ended
    third = MemoryLog([], second.commits)
    _gates[20].set()
    await _loop(SOURCES[kind], third, [7, 20]).run()
    found, expected = third.commits[-1], undisturbed.commits[-1]
    assert (found.ports, found.cursor, found.watermark, found.ended) == (expected.ports, expected.cursor, expected.watermark, True)


@pytest.mark.parametrize("kind", ["plain", "without cursors"])
async def test_a_source_in_the_place_of_another_begins_at_its_own_beginning_and_goes_on_exactly_once(kind: str) -> None:
    former = MemoryLog([])
    await former.run_until(_loop(SOURCES["plain"], former, [10]), _has(10))

    def exchanged(log: MemoryLog, at: list[int]) -> VertexLoop:
        return VertexLoop(Simulation(SOURCES[kind], params={"at": at}).engine(), log, None, None, 2, None, fresh_since=2)

    undisturbed = MemoryLog([], former.commits)
    await exchanged(undisturbed, []).run()
    log = MemoryLog([], former.commits)
    await log.run_until(exchanged(log, [7]), _has(17))
    _gates[7].set()
    second = MemoryLog([], log.commits)
    await exchanged(second, [7]).run()
    found, expected = second.commits[-1], undisturbed.commits[-1]
    assert found.counters.records_out == 10 + COUNT
    assert (found.ports, found.cursor, found.ended) == (expected.ports, expected.cursor, True)


@component("one-cursor", version="1.0.0")
def one_cursor(cursor: list[int] | None) -> Iterator[At[dict[str, int]]]:
    """Changes its record and its cursor in place."""
    record, reached = {"n": 0}, cursor or [0]
    while reached[0] < COUNT:
        record["n"], reached[0] = reached[0], reached[0] + 1
        if record["n"] == 10:
            _gates[10].wait()
        yield At(record, reached)


@component("by-partition", version="1.0.0")
def by_partition(cursor: list[Any] | None) -> Iterator[At[int]]:
    """Changes what its cursor holds."""
    topic, offsets = cursor or ["numbers", {"0": 0}]
    while offsets["0"] < COUNT:
        n, offsets["0"] = offsets["0"], offsets["0"] + 1
        if n == 10:
            _gates[10].wait()
        yield At(n, [topic, offsets])


@component("new-cursors", version="1.0.0")
def new_cursors(cursor: list[int] | None) -> Iterator[At[int]]:
    """A cursor made anew for each record."""
    for n in range(cursor[0] if cursor else 0, COUNT):
        if n == 10:
            _gates[10].wait()
        yield At(n, [n + 1])


CURSORS = {"one object": (one_cursor, [10]), "nested": (by_partition, ["numbers", {"0": 10}]), "new ones": (new_cursors, [10])}


@pytest.mark.parametrize("kind", CURSORS)
async def test_the_cursor_of_a_blocked_source_is_committed_as_it_was_when_it_was_yielded(kind: str) -> None:
    target, expected = CURSORS[kind]
    log = MemoryLog([])
    await log.run_until(_loop_of(target, log), _has(10))
    assert msgspec.msgpack.decode(base64.b64decode(log.commits[-1].cursor or "")) == [10, expected]
    _gates[10].set()
    again, undisturbed = MemoryLog([], log.commits), MemoryLog([])
    await _loop_of(target, again).run()
    await _loop_of(target, undisturbed).run()
    assert again.commits[-1].ports == undisturbed.commits[-1].ports


@dataclass
class Reached:
    """How far it is."""

    n: int = 0


@component("in-state", version="1.0.0")
class InState:
    """Keeps its place in its state, and moves it before it waits."""

    state: Reached

    def read(self, cursor: int | None) -> Iterator[At[int]]:
        """Numbers."""
        while self.state.n < COUNT:
            n, self.state.n = self.state.n, self.state.n + 1
            if n == 10:
                _gates[10].wait()
            yield At(n, n + 1)


async def test_the_state_of_a_blocked_source_is_committed_as_behind_its_last_record() -> None:
    log = MemoryLog([])
    loop = _loop_of(InState, log)
    cut, states = loop.engine.cut, list[Any]()

    def watched(*, may_end: bool = True) -> Any:
        found = cut(may_end=may_end)
        states.append((found.commit.counters.records_out, msgspec.msgpack.decode(found.parts[-1][1])["s"]))
        return found

    loop.engine.cut = watched  # type: ignore[method-assign]
    await log.run_until(loop, _has(10))
    count, inline = states[-1]
    assert count == 10
    engine = Simulation(InState).engine()
    engine.restore(log.commits[-1], inline)
    assert engine.program.instance.state.n == 10


@component("closing", version="1.0.0")
class Closing:
    """Waits behind three numbers; notes the thread that closes it."""

    params: Waits

    def read(self, cursor: int | None) -> Iterator[int]:
        """Three numbers."""
        yield from range(3)
        _gates[self.params.at[0]].wait()

    def close(self) -> None:
        """Notes it."""
        _closed.append(threading.current_thread().name)


@pytest.mark.parametrize("comes_back", [True, False])
async def test_a_component_is_closed_on_its_sources_thread_unless_a_call_does_not_come_back(comes_back: bool) -> None:
    log = MemoryLog([])
    loop = _loop(Closing, log, [3])
    running = asyncio.create_task(loop.run())
    await _until(log, _has(3))
    loop.drain()
    await _until(log, lambda commit: commit.ended)
    if comes_back:
        _gates[3].set()
    async with asyncio.timeout(PROMPT_S):
        await running
    assert _closed == (["thalweg-source"] if comes_back else [])
    assert is_any_left()


async def test_a_copy_that_is_fenced_out_leaves_though_its_source_blocks() -> None:
    class Taken(MemoryLog):
        """Another copy has it, from the first commit after the claim on."""

        async def write(self, parts: list[tuple[str, bytes]], commit: Commit) -> None:
            if not commit.claim:
                raise FencedOutError("another copy runs")
            await super().write(parts, commit)

    with pytest.raises(FencedOutError):
        async with asyncio.timeout(PROMPT_S):
            await _loop(gated, Taken([]), [10]).run()


@component("faulty", version="1.0.0")
class Faulty:
    """Raises behind a silence."""

    def read(self, cursor: int | None) -> Iterator[int]:
        """Ten numbers, then a fault."""
        yield from range(10)
        _gates[10].wait()
        raise ValueError("the camera is gone")


async def test_a_fault_behind_a_silence_fails_the_vertex_with_all_before_it_committed() -> None:
    log = MemoryLog([])
    loop = _loop_of(Faulty, log)
    running = asyncio.create_task(loop.run())
    await _until(log, _has(10))
    _gates[10].set()
    async with asyncio.timeout(PROMPT_S):
        await running
    last = log.commits[-1]
    assert last.failure is not None and last.failure.message == "v: ValueError: the camera is gone"
    assert last.counters.records_out == 10 and not last.ended


def test_an_end_that_comes_in_the_middle_of_a_commit_is_left_to_the_next_one() -> None:
    engine = Simulation(gated, params={"at": []}).engine()
    engine.restore(None, None)
    while not engine.finished:
        engine.step()
    first = engine.cut(may_end=False).commit
    assert (first.counters.records_out, first.ended, engine.needs_commit()) == (COUNT, False, True)
    assert engine.cut().commit.ended and not engine.needs_commit()


_hurries: list[Callable[[], None]] = []


@component("hurried", version="1.0.0")
def hurried() -> Iterator[int]:
    """Is hurried just before its fourth record, by who has waited for it long enough; comes quickly all the same."""
    for n in range(COUNT):
        if n == 3:
            _hurries.pop()()
        yield n


def test_a_step_that_was_hurried_does_not_go_back_into_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thalweg.runtime.engine.SLICE_S", 60.0)  # what ends it is not the clock
    engine = Simulation(hurried).engine()
    engine.restore(None, None)
    _hurries[:] = [engine.hurry]
    assert engine.step() is Turn.SLOW
    assert engine.standing.counters.records_in == 4


@component("acknowledging", version="1.0.0")
class Acknowledging:
    """Its origin hands out nothing more before what it gave last is acknowledged; what it has besides, it throws away."""

    def setup(self, context: Context) -> None:
        """Nothing is acknowledged yet."""
        self._acknowledged, self._arrived = 0, threading.Condition()

    def read(self, cursor: int | None, context: Context) -> Iterator[At[int]]:
        """Numbers, each behind the acknowledgement of the one before."""
        for n in range(cursor or 0, 3):
            with self._arrived:
                assert self._arrived.wait_for(lambda n=n: self._acknowledged >= n, PROMPT_S)  # type: ignore[misc]
            context.count_dropped(2)
            yield At(n, n + 1)

    def committed(self, cursor: int) -> None:
        """What is on the log need not be given again."""
        with self._arrived:
            self._acknowledged = cursor
            self._arrived.notify()


async def test_a_blocked_source_hears_what_is_committed_and_what_it_drops_is_counted() -> None:
    log = MemoryLog([])
    async with asyncio.timeout(PROMPT_S):
        await _loop_of(Acknowledging, log).run()
    last = log.commits[-1]
    assert last.ended and (last.counters.records_out, last.counters.dropped) == (3, 6)
    assert [commit.counters.records_out for commit in log.commits if commit.counters.records_out] == [1, 2, 3]


async def test_a_source_hears_nothing_of_recorded_records_that_come_before_its_own() -> None:
    log, simulated = MemoryLog([]), Simulation(Acknowledging)
    recorded = [("out", 7, None), ("out", 8, None)]
    engine = assemble(simulated.spec, simulated.release, {}, {}, Limits(), parse_type, opening=lambda given: iter(recorded[given:]))
    async with asyncio.timeout(PROMPT_S):
        await VertexLoop(engine, log, None, None).run()
    assert log.commits[-1].ended and log.commits[-1].failure is None and log.commits[-1].counters.records_out == 5
