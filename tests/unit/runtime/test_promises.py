"""What a commit promises, every later record keeps; so a merge downstream gives one order, whatever the timing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from thalweg import Context, Emit, component
from thalweg.runtime.inputs import Message
from unit.runtime.simulator import Simulation, stream


class Rules(BaseModel):
    """How a component emits.

    Attributes:
        holds_ns: records wait until event time has gone so far beyond them.
        says_ns: what it says in `hold_back_ns`; None says nothing.
        keeps: of every so many records one waits for the end.
        jump_ns: added to the event time of what goes through at once.
    """

    holds_ns: int = 0
    says_ns: int | None = 0
    keeps: int = 0
    jump_ns: int = 0


@dataclass
class Waiting:
    """Event times that wait, and those that wait for the end."""

    open: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)


@component("held", version="1.0.0")
class Held:
    """Lets some records through, holds others back, keeps some to the end."""

    params: Rules
    state: Waiting
    outputs = {"out": int}  # noqa: RUF012

    def setup(self, context: Context) -> None:
        """Says how far it holds back."""
        context.hold_back_ns = self.params.says_ns

    def process(self, record: int, context: Context) -> Emit[int] | None:
        """Through, or not yet."""
        if self.params.keeps and record % self.params.keeps == 0 and self.params.says_ns is None:
            self.state.last.append(context.time_ns)
        elif self.params.holds_ns and record % 2:
            self.state.open.append(context.time_ns)
        else:
            return Emit(record, time_ns=context.time_ns + self.params.jump_ns * (record % 3 == 0))
        return None

    def on_watermark(self, watermark_ns: int, context: Context) -> Iterator[Emit[int]]:
        """What has waited long enough, at its own time."""
        due = [one for one in self.state.open if one + self.params.holds_ns <= watermark_ns]
        self.state.open = [one for one in self.state.open if one not in due]
        for one in due:
            yield Emit(one, time_ns=one)

    def finish(self, context: Context) -> Iterator[Emit[int]]:
        """The rest."""
        for one in [*self.state.open, *self.state.last]:
            yield Emit(one, time_ns=one)


@component("merged", version="1.0.0")
class Merged:
    """Two inputs by event time."""

    def on_a(self, record: int) -> int:
        """As it is."""
        return record

    def on_b(self, record: int) -> int:
        """Told from the other's."""
        return -record - 1


def rules() -> st.SearchStrategy[Rules]:
    held = st.builds(lambda held, jump: Rules(holds_ns=held, says_ns=held, jump_ns=jump), st.integers(0, 60), st.integers(0, 100))
    kept = st.builds(Rules, holds_ns=st.integers(0, 60), says_ns=st.none(), keeps=st.integers(0, 5), jump_ns=st.integers(0, 100))
    return st.one_of(held, kept)


def written(given_rules: Rules, times: list[int], seed: int | None) -> list[Message]:
    """Messages of a vertex between two others; the simulator checks every promise in them."""
    simulation = Simulation(Held, {"in": stream(list(range(len(times))), times)}, int, params=given_rules.model_dump())
    left = simulation.run(seed)
    assert left.failure is None
    return left.written["out"]


@settings(deadline=None, max_examples=60, database=None, derandomize=True)
@given(rules(), rules(), st.lists(st.integers(0, 200), min_size=1, max_size=25), st.booleans(), st.integers(0, 1000))
def test_promises_are_kept_and_merges_behind_them_repeat(one: Rules, other: Rules, times: list[int], is_sorted: bool, seed: int) -> None:
    found = []
    for offset in (None, 0, 1, 2):
        runs = None if offset is None else seed + offset
        at = sorted(times) if is_sorted or one.says_ns is not None else times
        others = sorted(times) if is_sorted or other.says_ns is not None else times
        inputs = {"a": written(one, at, runs), "b": written(other, others, runs)}
        found.append(Simulation(Merged, inputs, int).run(runs))
    assert all(each == found[0] for each in found)


def test_a_vertex_that_says_nothing_promises_nothing_before_its_end() -> None:
    commits = Simulation(Held, {"in": stream(list(range(20)))}, int, params={"says_ns": None}).run(3).commits
    assert {one.promised for one in commits if not one.ended} == {-(2**63)}


def test_a_vertex_that_says_how_far_it_holds_back_promises_the_rest() -> None:
    simulation = Simulation(Held, {"in": stream(list(range(20)), [n * 10 for n in range(20)])}, int, params={"holds_ns": 15, "says_ns": 15})
    commits = [one for one in simulation.run(3).commits if not one.ended]
    assert all(one.promised == max(-(2**63), one.watermark - 15) for one in commits if one.watermark < 2**62)
