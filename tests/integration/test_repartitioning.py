"""Partitions are changed while records come in: each is worked on once, and those of one key stay in order, whatever is killed."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from integration.deploying import Place, evidence_of, status_of, store_backend, undeploy, until, when
from thalweg.api import dead_letters
from thalweg.api import deployments as api
from thalweg.api.backends import EDIT, Edit
from thalweg.bus.connection import NatsError
from thalweg.bus.deployments import load_deployment
from thalweg.bus.presence import wait_for_coordinator
from thalweg.client import Session, open_session
from thalweg.client.dead_letters import open_letters
from thalweg.client.runs import read_commits
from thalweg.errors import RejectedError
from thalweg.graph.vertex_edits import SetPartitions
from thalweg.wire import subjects
from thalweg.wire.partitions import parts_of

KEYS = "ABCDEFGHIJ"
DOOR = {"component": "http-in@1.0.0", "params": {"type": "record{key: str, n: int}"}}
LINES = {"component": "jsonl-file@1.0.0"}


class Feeding:
    """Sends readings to an input endpoint until it is told to stop; where a log is to stay whole, only as many as it was allowed."""

    def __init__(self, session: Session, name: str, pause_s: float = 0.002, allowed: int | None = None) -> None:
        self._allowed = allowed
        self._session, self._subject, self._pause_s = session, subjects.inlet("default", name, "door"), pause_s
        self.sent: list[tuple[str, int]] = []
        self._is_over = False
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        rng = random.Random(7)
        stream = self._session.client.jetstream()
        for n in itertools.count():
            while self._allowed is not None and len(self.sent) >= self._allowed and not self._is_over:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            if self._is_over:
                return
            key = rng.choice(KEYS)
            await stream.publish(self._subject, msgspec.msgpack.encode({"key": key, "n": n}))
            self.sent.append((key, n))
            await asyncio.sleep(self._pause_s)

    async def more(self, count: int) -> None:
        """Waits until so many more are sent."""
        wanted = len(self.sent) + count
        self.allow(count)

        async def is_sent() -> bool:
            assert not self._task.done(), self._task.exception()
            return len(self.sent) >= wanted

        await until(is_sent)

    def allow(self, count: int) -> None:
        """Lets so many more be sent meanwhile."""
        if self._allowed is not None:
            self._allowed = len(self.sent) + count

    async def stop(self) -> list[tuple[str, int]]:
        """What was sent; the last one is waited for, as it may be on the log though no reply came yet."""
        self._is_over = True
        await self._task
        return self.sent

    def abandon(self) -> None:
        """Sends no more, whatever has become of the test."""
        self._is_over = True


Feed = Callable[..., Feeding]


@pytest.fixture
def feed() -> Iterator[Feed]:
    """Starts to send; ends with the test."""
    started: list[Feeding] = []

    def start(*about: Any) -> Feeding:
        started.append(Feeding(*about))
        return started[-1]

    yield start
    for one in started:
        one.abandon()


async def repartition(session: Session, name: str, *wanted: tuple[str, int, str | None]) -> dict[str, list[str]]:
    """Redeploys with other partitions; names by action."""
    for vertex, count, key in wanted:
        edit = SetPartitions(vertex=vertex, partitions=count, key=key)
        await session.ask(EDIT, Edit(backend=name, author="ada", operations=[edit]))
    done: dict[str, list[str]] = defaultdict(list)
    for one in (await session.ask(api.REDEPLOY, api.Redeploy(name=name))).changes:
        done[one.action].append(one.vertex)
    return done


async def works(session: Session, name: str, *parts: str) -> None:
    """Waits until these run."""
    await when(session, name, lambda vertices, whole: all(one in vertices and vertices[one].state == "running" for one in parts))


def saved(place: Place, report: api.Report, vertex: str = "lines") -> list[dict[str, Any]]:
    (kept,) = (one for one in report.generated if one.vertex == vertex)
    return [json.loads(line) for line in place.store().fetch(kept.artifact, kept.name).read_text().splitlines()]


def check(found: list[dict[str, Any]], sent: list[tuple[str, int]], *, in_order: bool = True) -> None:
    """All of it, once; equal keys in the order in which they were sent."""
    got = [(one["key"], one["n"]) for one in found]
    counts = Counter(got)
    counts.subtract(Counter(sent))
    assert not +counts, f"doubled: {list(+counts)[:5]}"
    assert not -counts, f"lost: {list(-counts)[:5]}"
    for key in KEYS if in_order else "":
        assert [n for own, n in got if own == key] == [n for own, n in sent if own == key]


@pytest.mark.parametrize(("key", "capture"), [("key", "all"), (None, "boundary")])
async def test_partitions_change_under_traffic(key: str | None, capture: str, place: Place, asking: Session, feed: Feed) -> None:
    work = {"component": "pass-on@1.0.0", "params": {"pause_s": 0.001}}
    name = await store_backend(asking, {"door": DOOR, "work": work, "lines": LINES}, "door.out -> work.in", "work.out -> lines.in")
    await asking.ask(api.DEPLOY, api.Deploy(backend=name, capture=capture))
    await works(asking, name, "work")
    feeding = feed(asking, name)
    await feeding.more(100)
    last = ["work"]
    for count, parts in ((3, ["work~1", "work~2", "work~3"]), (2, ["work~4", "work~5"]), (1, ["work~6"])):
        done = await repartition(asking, name, ("work", count, key if count > 1 else None))
        assert done["retires"] == last and done["starts"] == parts and done["restarts"] == ["lines"] and done["keeps running"] == ["door"]
        await feeding.more(150)
        await works(asking, name, *parts)
        last = parts
    await feeding.more(100)
    sent = await feeding.stop()
    status = {one.vertex: one for one in (await status_of(asking, name)).vertices}
    assert [status[one].state for one in ("work", "work~1", "work~5", "work~6")] == ["retired", "retired", "retired", "running"]
    report = await undeploy(asking, name)
    assert report.outcome == "finished" and not report.unfinished
    assert report.replay is not None and report.replay.complete, report.replay
    check(saved(place, report), sent)
    document = await evidence_of(asking, report)
    assert sum(one["records_in"] for vertex, one in document["vertices"].items() if vertex.startswith("work")) == len(sent)
    assert {vertex: one["retired"] for vertex, one in document["vertices"].items() if one["retired"]} == {
        "work": 2, "work~1": 3, "work~2": 3, "work~3": 3, "work~4": 4, "work~5": 4,
    }  # fmt: skip


async def test_changes_one_after_the_other_of_neighbours_and_the_end_right_behind_lose_nothing(
    place: Place, asking: Session, feed: Feed
) -> None:
    work = {"component": "pass-on@1.0.0", "params": {"pause_s": 0.002}}
    vertices = {"door": DOOR, "work": work, "more": work, "lines": LINES}
    name = await store_backend(asking, vertices, "door.out -> work.in", "work.out -> more.in", "more.out -> lines.in")
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await works(asking, name, "work", "more")
    feeding = feed(asking, name)
    await feeding.more(50)
    await repartition(asking, name, ("work", 2, "key"), ("more", 3, "key"))
    await feeding.more(20)  # whatever has begun by now is retired again
    await repartition(asking, name, ("work", 3, "key"), ("more", 2, "key"))
    await repartition(asking, name, ("more", 1, None))
    await feeding.more(100)
    sent = await feeding.stop()
    done = await repartition(asking, name, ("work", 1, None))
    assert done["retires"] == ["work~3", "work~4", "work~5"] and done["starts"] == ["work~6"]
    report = await undeploy(asking, name)
    check(saved(place, report), sent)


async def test_a_state_is_made_anew_from_a_log_that_is_whole(place: Place, asking: Session, feed: Feed) -> None:
    tally = {"component": "tally@1.0.0"}
    name = await store_backend(asking, {"door": DOOR, "work": tally, "lines": LINES}, "door.out -> work.in", "work.out -> lines.in")
    await asking.ask(api.DEPLOY, api.Deploy(backend=name, keep_s=3600))
    await works(asking, name, "work")
    feeding = feed(asking, name, 0.02, 0)
    await feeding.more(60)
    for count, parts in ((2, ["work~1", "work~2"]), (3, ["work~3", "work~4", "work~5"])):
        feeding.allow(60)
        assert (await repartition(asking, name, ("work", count, "key")))["starts"] == parts
        await works(asking, name, *parts)
        await feeding.more(30)
    sent = await feeding.stop()
    found = saved(place, await undeploy(asking, name))
    check(found, sent)
    for key in KEYS:
        counts = [one["seen"] for one in found if one["key"] == key]
        assert counts == list(range(1, len(counts) + 1))


async def test_a_state_that_cannot_be_made_anew_is_left_alone(asking: Session, feed: Feed) -> None:
    tally = {"component": "tally@1.0.0"}
    name = await store_backend(asking, {"door": DOOR, "work": tally, "lines": LINES}, "door.out -> work.in", "work.out -> lines.in")
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await works(asking, name, "work")
    feeding = feed(asking, name)
    await when(asking, name, lambda vertices, whole: vertices["lines"].records_in > 100)

    with pytest.raises(RejectedError, match=r"no longer holds all of door\.out") as refused:
        await repartition(asking, name, ("work", 2, "key"))
    assert refused.value.code == "redeploy.partitions" and "--keep-log" in str(refused.value.hint)
    await feeding.more(50)
    status = await status_of(asking, name)
    assert status.generation == 1 and [one.vertex for one in status.vertices] == ["door", "work", "lines"]
    await feeding.stop()
    await undeploy(asking, name, discard=True)


async def test_dead_letters_of_a_retired_partition_are_told_and_not_given_again(place: Place, asking: Session, feed: Feed) -> None:
    refusing = {"component": "refuse-a@1.0.0", "on_error": "dead-letter"}
    name = await store_backend(asking, {"door": DOOR, "work": refusing, "lines": LINES}, "door.out -> work.in", "work.out -> lines.in")
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await works(asking, name, "work")
    feeding = feed(asking, name)
    await when(asking, name, lambda vertices, whole: vertices["work"].dead > 3)
    await repartition(asking, name, ("work", 2, "key"))
    await works(asking, name, "work~1", "work~2")
    await feeding.more(50)
    sent = await feeding.stop()
    lasts = [n for key, n in sent if key == "A"]
    await when(asking, name, lambda vertices, whole: sum(one.dead for part, one in vertices.items() if "work" in part) == len(lasts))
    spec = await load_deployment(asking.client, "default", name)
    letters = [one async for one in open_letters(asking.client, spec, parts_of(spec, "work"))]
    assert sorted(msgspec.msgpack.decode(one.letter.value)["n"] for one in letters) == lasts
    own = next(one for one in letters if one.vertex == "work")
    asked = {"name": name, "vertex": "work", "letters": [dead_letters.Which(sequence=own.sequence, index=own.index)]}
    with pytest.raises(RejectedError, match="work was retired in generation 2") as refused:
        await asking.ask(dead_letters.SETTLE, dead_letters.Settle(action="redrive", **asked))
    assert refused.value.code == "dead_letters.retired" and "export" in str(refused.value.hint)
    report = await undeploy(asking, name)
    check(saved(place, report), [one for one in sent if one[0] != "A"])


@pytest.mark.parametrize("seed", [1, 2])
async def test_kills_in_the_middle_of_a_change_lose_nothing(seed: int, own_place: Place) -> None:
    rng, place = random.Random(seed), own_place
    coordinators = [place.coordinator()]
    try:
        async with open_session(place.settings) as session:
            assert await wait_for_coordinator(session.client, "default", 60)
            await _change_and_kill(rng, place, session, coordinators)
    finally:
        for one in coordinators:
            one.kill()
            one.wait()


async def have_begun(session: Session, name: str, *parts: str) -> None:
    """Waits until these have committed something; asks the log alone, as whoever answers else may just have been killed."""
    spec = await load_deployment(session.client, "default", name)

    async def have() -> bool:
        await asyncio.sleep(0.3)
        try:
            commits = await read_commits(session.client, spec)
        except NatsError:
            return False
        assert not spec.has_failed(commits), [one.failure for one in commits.values()]
        return all(part in commits for part in parts)

    await until(have)


async def _change_and_kill(rng: random.Random, place: Place, session: Session, coordinators: list[subprocess.Popen[bytes]]) -> None:
    vertices = {"door": DOOR, "work": {"component": "pass-on@1.0.0"}, "tally": {"component": "tally@1.0.0"}, "lines": LINES}
    name = await store_backend(session, vertices, "door.out -> work.in", "work.out -> tally.in", "tally.out -> lines.in")
    await session.ask(api.DEPLOY, api.Deploy(backend=name, keep_s=3600))
    await works(session, name, "work", "tally")
    feeding, victims = Feeding(session, name, 0.03, 0), ["work"]
    kills = 0
    for count in (3, 1, 2):
        await feeding.more(20)
        feeding.allow(100)  # they come in while everything changes
        done = await repartition(
            session, name, ("work", count, "key" if count > 1 else None), ("tally", 4 - count, "key" if count < 3 else None)
        )
        victims = [*victims, *done["starts"], "door", "tally", "lines"]
        for _ in range(6):
            await asyncio.sleep(rng.uniform(0.05, 1.0))
            pid = place.pid(name, rng.choice(victims))
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    kills += 1
        coordinators[-1].kill()
        coordinators[-1].wait()
        coordinators.append(place.coordinator())
        assert await wait_for_coordinator(session.client, "default", 60)
        await have_begun(session, name, *done["starts"])
    await feeding.more(20)
    sent = await feeding.stop()
    found = saved(place, await undeploy(session, name))
    assert kills > 3
    check(found, sent)
    for key in KEYS:
        counts = [one["seen"] for one in found if one["key"] == key]
        assert counts == list(range(1, len(counts) + 1))
