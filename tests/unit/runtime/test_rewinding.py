"""Going back: a vertex does its work again from an earlier commit, and passes over what its writers have written anew."""

from __future__ import annotations

from pathlib import Path

from thalweg import component
from thalweg.runtime.engine import Engine, Turn
from thalweg.runtime.inputs import ALL, Message
from thalweg.runtime.loop import VertexLoop, claim, refuse
from thalweg.runtime.spool import Spool
from thalweg.wire.commit import Commit, Counters, Failure, Generated
from thalweg.wire.rewind import Rewind, Void, add_void
from unit.runtime.memory_log import MemoryLog
from unit.runtime.simulator import Simulation, stream

KEY = "from_in.out>in"


@component("double", version="1.0.0")
def double(n: int) -> int:
    """Twice each."""
    return 2 * n


def messages(*voids: int) -> list[Message]:
    """Three records in each; those of some sequences are void, as a reader delivers them."""
    found = [Message(KEY, one.first, one.last, one.body, one.watermark, one.ended) for one in stream(list(range(12)))]
    return [Message(KEY, one.first, one.last, b"", one.watermark, one.ended, True) if one.first in voids else one for one in found]


def run(engine: Engine) -> Commit:
    while engine.step() is not Turn.IDLE and not engine.finished:
        pass
    return engine.cut().commit


def test_void_messages_are_passed_over_and_the_position_goes_on() -> None:
    engine = Simulation(double, {"in": []}).engine()
    engine.restore(None, None)
    for message in messages(2, 3)[:3]:
        engine.offer(message)
    commit = run(engine)
    assert commit.positions == {KEY: (3, ALL)} and commit.counters.records_in == 3
    again = Simulation(double, {"in": []}).engine()
    again.restore(commit, None)
    for message in messages(2, 3)[2:]:
        again.offer(message)
    last = run(again)
    assert last.ended and last.counters.records_in == 6


async def test_a_claim_goes_back_once_from_the_end_of_a_vertex_too() -> None:
    log, rewind = MemoryLog(messages()), Rewind(2, position=5, commit=3)
    for number in (1, 2, 3):
        commit = Commit(1, number, {KEY: (number, 3)}, counters=Counters(records_in=3 * number, dead=number), dead_commits=number)
        log.commits.append(commit)
    log.commits.append(Commit(1, 4, {KEY: (5, 0)}, ended=True, dead_commits=4, generated={"file": Generated("f", "sha256:0", 1)}))
    found = (await claim(log, 2, rewind)).commit
    assert found is not None
    assert (found.epoch, found.number, found.rewound, found.ended, found.generation) == (2, 5, 2, False, 2)
    assert found.positions == {KEY: (3, 3)} and found.counters.records_in == 9
    assert found.dead_commits == 4 and not found.generated  # dead letters stay where they are; files are not there any more
    again = (await claim(log, 2, rewind)).commit
    assert again is not None and (again.epoch, again.number, again.positions) == (3, 6, found.positions)


async def test_a_vertex_that_could_not_go_back_has_still_to_do_so() -> None:
    log = MemoryLog([], [Commit(1, 1, ended=True)])
    await refuse(log, Failure("no", "log.trimmed"), 2)
    assert log.commits[-1].rewound == 0 and log.commits[-1].generation == 2
    found = (await claim(log, 3, Rewind(2, position=1, state="none yet"))).commit
    assert found is not None and (found.rewound, found.generation, found.failure) == (2, 3, None)


async def test_a_vertex_that_goes_back_ends_with_what_it_had() -> None:
    simulation, log = Simulation(double, {"in": []}), MemoryLog(messages())
    await VertexLoop(simulation.engine(), log, None, None).run()
    end = log.commits[-1]
    assert end.ended and end.counters.records_in == 12
    for then in (None, *log.commits[:-1]):
        rewind = Rewind(2, 1, commit=then.number if then is not None else 0)
        other = MemoryLog(messages(), list(log.commits))
        await VertexLoop(simulation.engine(), other, None, None, 2, rewind).run()
        last = other.commits[-1]
        assert last.ended and last.ports == end.ports and last.counters.records_in == 12 and last.number > end.number


def test_a_spool_forgets_what_lies_behind_a_position(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for message in messages(2):
        spool.append(message)
    spool.sync()
    spool.cut({KEY: (3, 1)})
    assert [(one.first, one.void) for one in spool.replay()] == [(1, False), (2, True), (3, False)]
    spool.cut({KEY: (3, 0)})
    assert [one.first for one in spool.replay()] == [1, 2]
    spool.append(messages()[4])
    spool.cut({})
    assert list(spool.replay()) == []
    spool.close()


def test_a_void_that_says_less_than_another_is_dropped() -> None:
    assert add_void([Void(7, 2)], Void(5, 3)) == [Void(5, 3)]
    assert add_void([Void(7, 2)], Void(9, 3)) == [Void(7, 2), Void(9, 3)]
