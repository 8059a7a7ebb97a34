"""Partitions are changed while records come in: each is worked on once, and those of one key stay in order, whatever is killed."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import psutil
import pytest

from integration.deploying import Place, evidence_of, status_of, store_backend, undeploy, until, when
from thalweg.api import deployments as api
from thalweg.api.backends import EDIT, Edit
from thalweg.client import Session
from thalweg.client.dead_letters import open_letters
from thalweg.errors import RejectedError
from thalweg.graph.vertex_edits import SetPartitions
from thalweg.wire import subjects

KEYS = "ABCDEFGHIJ"
DOOR = {"component": "http-in@1.0.0", "params": {"type": "record{key: str, n: int}"}}
LINES = {"component": "jsonl-file@1.0.0"}


class Feeding:
    """Sends readings to an input endpoint until it is told to stop."""

    def __init__(self, session: Session, name: str, pause_s: float = 0.002) -> None:
        self._session, self._subject, self._pause_s = session, subjects.inlet("default", name, "door"), pause_s
        self.sent: list[tuple[str, int]] = []
        self._is_over = False
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        rng = random.Random(7)
        stream = self._session.client.jetstream()
        for n in itertools.count():
            if self._is_over:
                return
            key = rng.choice(KEYS)
            await stream.publish(self._subject, msgspec.msgpack.encode({"key": key, "n": n}))
            self.sent.append((key, n))
            await asyncio.sleep(self._pause_s)

    async def more(self, count: int) -> None:
        """Waits until so many more are sent."""
        wanted = len(self.sent) + count

        async def is_sent() -> bool:
            assert not self._task.done(), self._task.exception()
            return len(self.sent) >= wanted

        await until(is_sent)

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
    """Waits until these have worked on something, or others have for them."""
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


@pytest.mark.parametrize("key", ["key", None])
async def test_partitions_change_under_traffic(key: str | None, place: Place, asking: Session, feed: Feed) -> None:
    work = {"component": "pass-on@1.0.0", "params": {"pause_s": 0.001}}
    name = await store_backend(asking, {"door": DOOR, "work": work, "lines": LINES}, "door.out -> work.in", "work.out -> lines.in")
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
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
    check(saved(place, report), sent)
    document = await evidence_of(asking, report)
    assert sum(one["records_in"] for vertex, one in document["vertices"].items() if vertex.startswith("work")) == len(sent)
    assert {vertex: one["retired"] for vertex, one in document["vertices"].items() if one["retired"]} == {
        "work": 2, "work~1": 3, "work~2": 3, "work~3": 3, "work~4": 4, "work~5": 4,
    }  # fmt: skip
