"""Kills one vertex at random moments over a log in memory: what it leaves there must depend on its input alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from thalweg.graph.derive import stream_type
from thalweg.graph.parse import parse_type
from thalweg.graph.types import StreamType
from thalweg.runtime.assemble import assemble
from thalweg.runtime.engine import Cut, Engine, Limits, Turn
from thalweg.runtime.inputs import BEGINNING, Message
from thalweg.runtime.recorded_order import RecordedOrder
from thalweg.sdk.component import component_of
from thalweg.sdk.release import ComponentRelease
from thalweg.testing.run import pack
from thalweg.testing.vertex import vertex_of
from thalweg.wire.batch import batch_decoder
from thalweg.wire.commit import Commit, Counters, Failure, decode_commit, encode_commit
from thalweg.wire.spec import OnError, VertexSpec
from thalweg.wire.subjects import COMMIT_PORT, DEAD_PORT, STATE_PORT

Written = tuple[int, int, bytes, int]  # event time, id, msgpack of the value, progress time


@dataclass
class Left:
    """What a run left on its log; equal for runs that did the same, however their commits were cut."""

    records: dict[str, list[Written]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    dead: list[Any] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)
    failure: Failure | None = None
    commits: list[Commit] = field(default_factory=list, compare=False)
    written: dict[str, list[Message]] = field(default_factory=dict, compare=False)

    def values(self, port: str = "out") -> list[Any]:
        """The values of a port."""
        return [msgspec.msgpack.decode(value) for _, _, value, _ in self.records[port]]


class Simulation:
    """One vertex and all that will ever arrive at it.

    Args:
        component: what it runs.
        inputs: messages of each input port, as upstream vertices wrote them; sequences are given by `run`.
        kind: type of all its inputs.
        on_error, params: as in a pipeline file.
        follows: makes the order of another run, in which inputs are taken.
    """

    def __init__(
        self,
        component: Any,
        inputs: dict[str, list[Message]] | None = None,
        kind: Any = int,
        on_error: OnError = "fail",
        params: dict[str, Any] | None = None,
        follows: Callable[[], RecordedOrder] | None = None,
    ) -> None:
        self.inputs, self.follows = inputs or {}, follows
        self.spec, self.release = vertex_spec(component, dict.fromkeys(self.inputs, stream_type(kind)), on_error, params)

    def run(self, seed: int | None = None, order: int | None = None) -> Left:
        """Runs to the end: undisturbed where there is no seed, else with kills, offers and commits as it falls.

        Args:
            seed: of everything that must not matter.
            order: seed of the order in which the inputs are on the log, where that matters.
        """
        return _Run(self, random.Random(seed), random.Random(seed if order is None else order), seed is not None).run()

    def engine(self, limits: Limits | None = None) -> Engine:
        """The vertex's engine, not restored yet."""
        order = self.follows() if self.follows is not None else None
        return assemble(self.spec, self.release, {}, {}, limits or Limits(), parse_type, order=order)

    def log(self, order: int) -> list[Message]:
        """The inputs as they lie on the log, by the seed of that order."""
        return _interleave(self, random.Random(order))


def vertex_spec(
    component: Any, kinds: dict[str, StreamType], on_error: OnError = "fail", params: dict[str, Any] | None = None
) -> tuple[VertexSpec, ComponentRelease]:
    """A vertex `v` with one edge into each port, and its release."""
    release = ComponentRelease(component_of(component), component.__module__)
    return vertex_of(release, "v", kinds, params, on_error), release


def stream(values: list[Any], times: list[int] | None = None, batch: int = 3) -> list[Message]:
    """Messages of one upstream port with these values."""
    return pack("", values, times or list(range(len(values))), stream_type(type(values[0])), batch)


class _Run:
    def __init__(self, simulation: Simulation, rng: random.Random, order: random.Random, disturbed: bool) -> None:
        self._simulation, self._rng, self._disturbed = simulation, rng, disturbed
        self._log = _interleave(simulation, order)
        self._keeps_order = simulation.release.component.combine == "arrival" and simulation.follows is None
        self._commit: Commit | None = None
        self._inline: bytes | None = None
        self._snapshot: bytes | None = None
        self._promised, self._dead_commits = BEGINNING, 0
        self._left = Left({port: [] for port in simulation.spec.outputs}, written={port: [] for port in simulation.spec.outputs})
        self._start()

    def run(self) -> Left:
        rng, disturbed, silence = self._rng, self._disturbed, 0
        while silence < 50:
            if disturbed and rng.random() < 0.1:
                self._start()
                continue
            while self._ahead and (not disturbed or rng.random() < 0.5):
                self._offer()
            turn = self._engine.step()
            is_due = turn is Turn.DUE or (rng.random() < 0.4 if disturbed else not self._ahead and turn is Turn.IDLE)
            if self._engine.needs_commit() and is_due:
                self._take(self._engine.cut())
                if self._engine.failure or self._engine.finished:
                    return self._close()
            silence = silence + 1 if turn is Turn.IDLE and not self._ahead and not self._engine.needs_commit() else 0
        raise AssertionError(f"everything has arrived, but the vertex stands at {self._engine.positions}")

    def _start(self) -> None:
        """A new copy: it knows what is on the log."""
        rng, commit = self._rng, self._commit
        limits = Limits(rng.randint(1, 20), rng.choice([60, 1_048_576]), snapshot_messages=rng.choice([3, 6, 128]))
        if commit is not None:
            commit = self._commit = msgspec.structs.replace(commit, epoch=commit.epoch + 1, number=commit.number + 1)
            commit = decode_commit(encode_commit(commit))
        self._engine = self._simulation.engine(limits if self._disturbed else None)
        self._engine.restore(commit, self._snapshot if commit is not None and commit.floor is not None else self._inline)
        begin = {edge.key: edge.position[0] for edge in self._engine.edges}
        self._ahead = [message for message in self._log if message.first >= begin[message.edge]]

    def _offer(self) -> None:
        """The next message of any edge arrives; of the log, where the vertex reads it over one consumer."""
        if self._keeps_order:
            chosen = self._ahead[0]
        else:
            edge = self._rng.choice(sorted({message.edge for message in self._ahead}))
            chosen = next(message for message in self._ahead if message.edge == edge)
        self._ahead.remove(chosen)
        self._engine.offer(chosen)

    def _take(self, cut: Cut) -> None:
        left, before = self._left, self._commit
        for port, body in cut.parts:
            if port == STATE_PORT:
                self._snapshot = body
            elif port == DEAD_PORT:
                left.dead += msgspec.msgpack.decode(body)
                self._dead_commits += 1
            else:
                self._inline = msgspec.msgpack.decode(body)["s"]
            if port not in (STATE_PORT, DEAD_PORT, COMMIT_PORT):
                self._read(port, body, cut.commit)
        assert cut.commit.dead_commits == self._dead_commits
        if before is not None:
            assert cut.commit.watermark >= before.watermark
            assert all(position >= before.positions[key] for key, position in cut.commit.positions.items() if key in before.positions)
        self._promised = max(self._promised, cut.commit.promised)
        self._commit = cut.commit
        left.commits.append(cut.commit)

    def _read(self, port: str, body: bytes, commit: Commit) -> None:
        """Takes what a commit wrote to a port, as a reader would; it must keep what earlier commits have promised."""
        batch, records, sequence = batch_decoder(msgspec.Raw).decode(body), self._left.records[port], len(self._left.written[port]) + 1
        assert all(progress >= self._promised for progress in batch.progress()), "a record lies behind what was promised"
        records += zip(batch.t, batch.ids(), map(bytes, batch.v), batch.progress(), strict=True)
        assert [one[3] for one in records] == sorted(one[3] for one in records)
        self._left.written[port].append(Message(port, sequence, sequence, body, commit.promised, commit.ended))

    def _close(self) -> Left:
        commit, left = self._left.commits[-1], self._left
        self._engine.program.close()
        left.digests = {port: stored.digest for port, stored in commit.ports.items()}
        left.counters, left.failure = msgspec.structs.replace(commit.counters, bytes_out=0), commit.failure
        return left


def _interleave(simulation: Simulation, rng: random.Random) -> list[Message]:
    """The inputs as they lie on one log: in any order of edges; some messages were cut into pieces."""
    keys = {edge.dst_port: edge.key for edge in simulation.spec.inputs}
    queues = {keys[port]: list(messages) for port, messages in simulation.inputs.items()}
    found, sequence = list[Message](), 1
    while left := sorted(key for key, queue in queues.items() if queue):
        key, pieces = rng.choice(left), rng.choice([1, 1, 1, 3])
        message = queues[key].pop(0)
        found.append(Message(key, sequence, sequence + pieces - 1, message.body, message.watermark, message.ended))
        sequence += pieces + rng.randint(0, 2)
    return found
