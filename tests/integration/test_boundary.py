"""The boundary of a deployment as any NATS client sees it: bare msgpack values in, bare msgpack values out, nothing lost or doubled."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import msgpack
import nats
import pytest
from nats.errors import NoRespondersError

from integration.served import DEADLINE_S, Served, deploy, served, until, until_running, vertices_of
from thalweg.api import deployments as api
from thalweg.api.backends import EDIT, Edit
from thalweg.bus.deployments import count_messages, load_deployment
from thalweg.client import Session
from thalweg.embedded.leftovers import process_of
from thalweg.graph.operations import SetParam
from thalweg.wire import subjects
from thalweg.wire.boundary import inlet_id

DOOR: dict[str, Any] = {"component": "http-in@1.0.0", "params": {"type": "record{n: int, x: float}"}}
DOUBLE: dict[str, Any] = {"component": "select@1.0.0", "params": {"fields": {"twice": "n * 2", "x": "x"}}}
SHOW: dict[str, Any] = {"component": "http-out@1.0.0"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served")) as found:
        yield found


@pytest.fixture
async def session(place: Served) -> AsyncIterator[Session]:
    async with place.session() as found:
        yield found


async def _doubling(session: Session) -> str:
    return await deploy(session, {"door": DOOR, "double": DOUBLE, "show": SHOW}, "door.out -> double.in", "double.out -> show.in")


async def _shown(session: Session, name: str, count: int) -> None:
    async def is_shown() -> bool:
        found = (await vertices_of(session, name)).get("show")
        return found is not None and found.records_out >= count

    await until(is_shown)


async def _publish(client: Any, subject: str, body: bytes) -> int:
    """As JetStream acknowledges it; waits where the log pushes back."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with suppress(NoRespondersError):  # the log is not made yet
                answer = json.loads((await client.request(subject, body, timeout=5)).data)
                if "error" not in answer:
                    return int(answer["seq"])
                assert answer["error"]["err_code"] == 10077, answer
            await asyncio.sleep(0.01)


async def test_a_plain_client_sends_values_and_reads_values(session: Session, place: Served) -> None:
    name = await _doubling(session)
    await until_running(session, name)
    client = await nats.connect(place.stack.nats_url)
    got: asyncio.Queue[Any] = asyncio.Queue()
    await client.subscribe(subjects.outlet("default", name, "show"), cb=got.put)
    sent = [await _publish(client, subjects.inlet("default", name, "door"), msgpack.packb({"n": n, "x": n})) for n in range(50)]
    async with asyncio.timeout(DEADLINE_S):
        messages = [await got.get() for _ in sent]
    await client.close()
    assert [msgpack.unpackb(one.data) for one in messages] == [{"twice": 2 * n, "x": float(n)} for n in range(50)]
    assert [int(one.headers["Tw-Root"], 16) for one in messages] == [inlet_id("door", sequence) for sequence in sent]
    assert [one.headers["Tw-Number"] for one in messages] == [str(number) for number in range(1, 51)]


async def test_what_does_not_fit_the_type_is_a_dead_letter_and_the_vertex_lives_on(session: Session) -> None:
    name = await _doubling(session)
    subject = subjects.inlet("default", name, "door")
    await until_running(session, name)
    for body in (b"", b"\xc1", b"\x92\x01", msgpack.packb({"n": "one", "x": 1.0}), msgpack.packb({"x": 1.0}), msgpack.packb([1, 2])):
        await _publish(session.client, subject, body)
    await _publish(session.client, subject, msgpack.packb({"n": 1, "x": 1.0, "more": True}))
    await _shown(session, name, 1)
    door = (await vertices_of(session, name))["door"]
    assert (door.state, door.dead, door.records_in, door.records_out) == ("running", 6, 7, 1)
    dead = subjects.port("default", name, "door", "_dead")
    jetstream = session.client.jetstream()
    letters: list[dict[str, Any]] = []
    subscription = await jetstream.pull_subscribe(dead, stream=subjects.stream("default", name))
    async with asyncio.timeout(DEADLINE_S):
        while len(letters) < 6:
            for message in await subscription.fetch(10, timeout=5):
                letters += msgpack.unpackb(message.data)
    assert "at $.n: Expected `int`" in letters[3]["error"] and "missing required field `n`" in letters[4]["error"]
    assert msgpack.unpackb(letters[3]["value"]) == msgpack.packb({"n": "one", "x": 1.0})


async def test_nothing_is_lost_or_doubled_while_vertices_are_killed_and_nobody_reads(session: Session, place: Served) -> None:
    name = await _doubling(session)
    subject, count = subjects.inlet("default", name, "door"), 3000
    await until_running(session, name)

    async def kill() -> None:
        for vertex in ("door", "show", "double", "door", "show"):
            before = (await vertices_of(session, name))["show"].records_out
            pid = process_of(place.settings.data / "vertices" / name / f"{vertex}.json")
            if pid is not None:
                os.kill(pid.pid, signal.SIGKILL)
            await until(lambda before=before: _is_past(session, name, min(before + 200, count)))  # type: ignore[misc]

    killing = asyncio.create_task(kill())
    for low in range(0, count, 100):
        await asyncio.gather(*(_publish(session.client, subject, msgpack.packb({"n": n, "x": 0})) for n in range(low, low + 100)))
    await _shown(session, name, count)
    await killing
    spec = await load_deployment(session.client, "default", name)

    async def is_trimmed() -> bool:
        held = await session.client.jetstream().stream_info(subjects.stream("default", name), subjects_filter="tw.default.*.*.>")
        found = held.state.subjects or {}
        return found[subjects.outlet("default", name, "show")] <= 700 and found.get(subject, 0) <= 1

    await until(is_trimmed)
    assert (await count_messages(session.client, "default", name)) and spec.is_traced
    last = await session.client.jetstream().get_last_msg(subjects.stream("default", name), subjects.outlet("default", name, "show"))
    assert last.headers is not None and last.headers["Tw-Number"] == str(count)
    found = await vertices_of(session, name)
    assert [found[vertex].records_out for vertex in ("door", "double", "show")] == [count] * 3


async def _is_past(session: Session, name: str, count: int) -> bool:
    return (await vertices_of(session, name))["show"].records_out >= count


async def test_an_undeploy_ends_behind_what_is_there(session: Session) -> None:
    name = await _doubling(session)
    for n in range(500):
        await _publish(session.client, subjects.inlet("default", name, "door"), msgpack.packb({"n": n, "x": 0}))
    await session.ask(api.UNDEPLOY, api.Undeploy(name=name))

    async def is_gone() -> bool:
        return (await session.ask(api.STATUS, api.MaybeNamed(name=name))).deployments[0].report is not None

    await until(is_gone)
    (found,) = (await session.ask(api.STATUS, api.MaybeNamed(name=name))).deployments
    assert found.report is not None and found.report.outcome == "finished" and not found.report.unfinished


async def test_a_redeploy_changes_an_input_endpoint_in_its_stream(session: Session) -> None:
    name = await _doubling(session)
    subject = subjects.inlet("default", name, "door")
    await _publish(session.client, subject, msgpack.packb({"n": 1, "x": 0}))
    await _shown(session, name, 1)
    change = SetParam(vertex="door", path="rate_per_s", value=5.0)
    await session.ask(EDIT, Edit(backend=name, author="ada", operations=[change]))
    await session.ask(api.REDEPLOY, api.Redeploy(name=name))
    await _publish(session.client, subject, msgpack.packb({"n": 2, "x": 0}))
    await _shown(session, name, 2)
    assert (await vertices_of(session, name))["door"].records_in == 2
