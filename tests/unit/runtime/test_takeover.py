"""Partitions in the place of others: each record is worked on once, in the order of its key, wherever those before had come to."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import msgspec
import pytest

import thalweg
from thalweg.graph.derive import stream_type
from thalweg.graph.parse import parse_type
from thalweg.graph.partitions import partition_name
from thalweg.runtime.assemble import assemble
from thalweg.runtime.engine import Limits, Turn
from thalweg.runtime.inputs import Edge, Message
from thalweg.sdk.values import Place
from thalweg.testing.run import pack
from thalweg.wire.batch import batch_decoder
from thalweg.wire.commit import Commit, decode_commit, encode_commit
from thalweg.wire.partitions import formers_of
from thalweg.wire.spec import DeploymentSpec, Share, VertexSpec
from thalweg.wire.takeover import Former, Passed, Takeover, first_commit, passed_of
from unit.runtime.simulator import vertex_spec

KEY = "from_in.out>in"


@dataclass
class Reading:
    """A number of a key."""

    key: str
    n: int


@dataclass
class Counted:
    """A number, and how many of its key came up to it."""

    key: str
    n: int
    seen: int


@thalweg.component("as-it-is", version="1.0.0")
def as_it_is(reading: Reading) -> Reading:
    """Keeps nothing in mind."""
    return reading


@dataclass
class Tally:
    by_key: dict[str, int] = field(default_factory=dict)
    padding: list[str] = field(default_factory=list)


@thalweg.component("tally-up", version="1.0.0")
class TallyUp:
    """Counts by key; `padding` makes the state larger than what goes into each commit. Tells its counts at the end."""

    state: Tally

    def process(self, reading: Reading) -> Counted:
        found = self.state.by_key[reading.key] = self.state.by_key.get(reading.key, 0) + 1
        self.state.padding.append("x" * 400)
        return Counted(reading.key, reading.n, found)

    def finish(self, context: thalweg.Context) -> Iterator[Counted]:
        for key, found in sorted(self.state.by_key.items()):
            yield Counted(key, -1, found)


class Parts:
    """One vertex with partitions that change, over a log in memory."""

    def __init__(self, component: Any, messages: list[Message], rng: random.Random, memory: str) -> None:
        self.rng, self.memory = rng, memory
        self.spec, self.release = vertex_spec(component, {"in": stream_type(Reading)})
        self.messages = [
            Message(KEY, sequence, sequence, one.body, one.watermark, one.ended) for sequence, one in enumerate(messages, start=3)
        ]
        self.deployed: list[VertexSpec] = []
        self.commits: dict[str, Commit] = {}
        self.inline: dict[str, bytes | None] = {}
        self.snapshot: dict[str, bytes] = {}
        self.found: list[dict[str, Any]] = []

    def become(self, count: int, key: str | None) -> list[VertexSpec]:
        """Retires what there is, and deploys so many others."""
        generation = 1 + max((one.generation for one in self.deployed), default=0)
        self.deployed = [msgspec.structs.replace(one, retired=one.retired or generation) for one in self.deployed]
        for one in self.deployed:
            last = self.commits.get(one.name, Commit(epoch=0, number=0))
            if not last.ended and not last.retired:
                retired = msgspec.structs.replace(last, epoch=last.epoch + 1, number=last.number + 1, retired=one.retired)
                self.commits[one.name] = decode_commit(encode_commit(retired))
        shares = [Share(index, count, key) for index in range(count)] if count > 1 else [None]
        parts = [
            msgspec.structs.replace(
                self.spec, name=partition_name("v", len(self.deployed) + number), share=share, generation=generation, memory=self.memory
            )
            for number, share in enumerate(shares, start=1)
        ]
        self.deployed += parts
        return parts

    def work(self, part: VertexSpec, steps: int) -> None:
        """One copy of a partition does some work, commits now and then, and is killed; with no bound it works to the end."""
        rng, name = self.rng, part.name
        groups = formers_of(DeploymentSpec("w", "d", "b", self.deployed), part)
        first = first_commit(part, groups, self.commits)
        last = self.commits.get(name) or first or Commit(epoch=0, number=0)
        if last.ended:
            return
        last = msgspec.structs.replace(last, epoch=last.epoch + 1, number=last.number + 1)
        self.commits[name] = last = decode_commit(encode_commit(last))
        limits = Limits(rng.randint(1, 9), snapshot_messages=rng.choice([2, 128]))
        engine = assemble(part, self.release, {}, {}, limits, parse_type)
        takeover = Takeover({KEY: passed_of(groups, self.commits, KEY)} if groups else {}, self.memory != "none", first)
        engine.take_over(takeover)
        engine.restore(last, self.snapshot.get(name) if last.floor is not None else self.inline.get(name))
        engine.end_retired(takeover)
        (edge,) = engine.edges
        ahead = [one for one in self.messages if one.first >= edge.next_sequence]
        for _ in range(steps):
            for message in islice(list(ahead), rng.randint(0, 3)):
                engine.offer(ahead.pop(0))
                assert message.last >= edge.position[0] or edge.head is None
            turn = engine.step()
            assert engine.failure is None, engine.failure
            if engine.needs_commit() and (turn is Turn.DUE or rng.random() < 0.5):
                self._take(name, engine.cut())
            if self.commits[name].ended:
                return

    def _take(self, name: str, cut: Any) -> None:
        for port, body in cut.parts:
            batch = batch_decoder(Any).decode(body) if port != "_state" else None
            if batch is None:
                self.snapshot[name] = body
            else:
                self.inline[name] = batch.s
                self.found += batch.v
        self.commits[name] = decode_commit(encode_commit(cut.commit))


def readings(rng: random.Random, count: int) -> tuple[list[Reading], list[Message]]:
    values = [Reading(rng.choice("ABCDEFG"), n) for n in range(count)]
    return values, pack("", values, list(range(count)), stream_type(Reading), rng.randint(1, 6))


def change_and_work(parts: Parts, rng: random.Random, key: str | None) -> None:
    """Some changes, with whatever work between them; some partitions never begin before they are retired."""
    live = parts.become(rng.randint(1, 3), key)
    for _ in range(rng.randint(1, 4)):
        for part in live:
            for _ in range(rng.randint(0, 2)):
                parts.work(part, rng.randint(1, 12))
        if any(commit.ended for commit in parts.commits.values()):
            break
        live = parts.become(rng.randint(1, 4), key)
    for part in live:
        parts.work(part, 100_000)
        assert parts.commits[part.name].ended


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("key", ["key", None])
def test_each_record_is_worked_on_once_however_often_partitions_change(seed: int, key: str | None) -> None:
    rng = random.Random(seed)
    values, messages = readings(rng, rng.randint(0, 60))
    parts = Parts(as_it_is, messages, rng, "none")
    change_and_work(parts, rng, key)
    assert sorted(one["n"] for one in parts.found) == [one.n for one in values]
    assert sum(commit.counters.records_in for commit in parts.commits.values()) == len(values)
    if key is not None:
        for own in "ABCDEFG":
            assert [one["n"] for one in parts.found if one["key"] == own] == [one.n for one in values if one.key == own]


@pytest.mark.parametrize("seed", range(60))
def test_a_state_is_made_anew_and_gives_what_it_would_have_given(seed: int) -> None:
    rng = random.Random(seed)
    values, messages = readings(rng, rng.randint(1, 60))
    parts = Parts(TallyUp, messages, rng, "state")
    change_and_work(parts, rng, "key")
    given = [(one["key"], one["n"], one["seen"]) for one in parts.found if one["n"] >= 0]
    wanted = [(one.key, one.n, sum(other.key == one.key for other in values[: one.n + 1])) for one in values]
    assert sorted(given) == sorted(wanted)
    told = sorted((one["key"], one["seen"]) for one in parts.found if one["n"] < 0)
    assert told == sorted((key, sum(one.key == key for one in values)) for key in {one.key for one in values})
    assert sum(commit.counters.records_in for commit in parts.commits.values()) == len(values)


def test_a_partition_that_has_ended_leaves_nothing_to_those_in_its_place() -> None:
    rng = random.Random(1)
    values, messages = readings(rng, 40)
    parts = Parts(TallyUp, messages, rng, "state")
    first, second = parts.become(2, "key")
    parts.work(first, 100_000)
    parts.work(second, 3)
    (whole,) = parts.become(1, None)
    parts.work(whole, 100_000)
    told = sorted(one["key"] for one in parts.found if one["n"] < 0)
    assert told == sorted({one.key for one in values}), "what is told at the end is told once of each key"
    assert sorted(one["n"] for one in parts.found if one["n"] >= 0) == list(range(40))


def test_a_retired_edge_ends_behind_its_last_message_though_that_does_not_say_so() -> None:
    rng = random.Random(3)
    _, messages = readings(rng, 12)
    parts = Parts(as_it_is, messages, rng, "none")
    (whole,) = parts.become(1, None)
    engine = assemble(whole, parts.release, {}, {}, Limits(), parse_type)
    engine.restore(None, None)
    open_ones = [Message(one.edge, one.first, one.last, one.body, one.watermark, False) for one in parts.messages]
    engine.end_retired(Takeover(ends={KEY: open_ones[-1].last}))
    for message in open_ones:
        assert not engine.finished
        engine.offer(message)
        while engine.step() is not Turn.IDLE and not engine.finished:
            pass
    assert engine.finished and engine.standing.counters.records_in == 12


def test_a_retired_edge_on_which_nothing_ever_came_ends_at_once() -> None:
    parts = Parts(as_it_is, [], random.Random(1), "none")
    (whole,) = parts.become(1, None)
    engine = assemble(whole, parts.release, {}, {}, Limits(), parse_type)
    engine.restore(None, None)
    engine.end_retired(Takeover(ends={KEY: 0}))
    engine.step()
    assert engine.finished


def test_a_place_is_that_in_the_message_and_tells_to_which_retired_partitions_the_record_fell() -> None:
    body = pack("", [Reading("A", n) for n in range(6)], list(range(6)), stream_type(Reading), 6)[0].body
    ids = batch_decoder(Any).decode(body).ids()
    former = [[Former(None, (1, 0), name="v")], [Former(Share(index, 2), (3, 2), name=f"v~{index + 1}") for index in range(2)]]
    edge = Edge(KEY, "in", 0, Reading, share=Share(0, 3))
    edge.take_over(Passed(former), mutes=False)
    edge.offer(Message(KEY, 3, 3, body, 0, False))
    own = [index for index in range(2, 6) if ids[index] % 3 == 0]
    assert own and edge.first.places == own
    assert [edge.place_of(number) for number in range(len(own))] == [
        Place(KEY, 3, index, ("v", f"v~{ids[index] % 2 + 1}")) for index in own
    ]  # fmt: skip
