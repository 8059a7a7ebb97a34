"""Undeploying: sources are drained, what is in flight is finished, what was generated is saved."""

from __future__ import annotations

import asyncio
import subprocess
import time
from pathlib import Path

from integration.deploying import (
    DEADLINE_S,
    Place,
    evidence_of,
    has,
    read_lines,
    status_of,
    store_backend,
    store_lines,
    undeploy,
    until,
    when,
)
from thalweg.api import deployments as api
from thalweg.bus.deployments import load_deployment, log_state
from thalweg.bus.presence import wait_for_coordinator
from thalweg.client import Session, open_session
from thalweg.embedded.servers import load_or_make_keys, s3_process


async def test_a_finite_deployment_finishes_and_leaves_its_files_and_evidence(place: Place, asking: Session) -> None:
    name = await store_lines(asking, 500, expect=[{"vertex": "tag", "port": "out", "count": {"min": 500}}])
    deployed = await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    assert (deployed.revision, deployed.generation) == (1, 1)
    found = await when(asking, name, lambda vertices, whole: whole.state == "finished")
    lines = next(one for one in found.vertices if one.vertex == "lines")
    assert (lines.records_in, lines.lag, lines.state, lines.restarts) == (500, 0, "finished", 0)
    report = await undeploy(asking, name)
    assert report.outcome == "finished" and not (report.missing or report.undeclared or report.unfinished)
    assert len(read_lines(place, report)) == 500
    document = await evidence_of(asking, report)
    assert document["verdict"] == "met" and document["graph_digest"] == deployed.digest and document["sync"] == "always"
    assert document["vertices"]["tag"]["ports"]["out"]["count"] == 500
    assert await log_state(asking.client, "default", name) is None

    async def is_clean() -> bool:
        return not (place.settings.data / "scratch" / name).exists() and not (place.settings.data / "vertices" / name).exists()

    await until(is_clean)


async def test_an_endless_source_is_drained_and_nothing_in_flight_is_lost(place: Place, asking: Session) -> None:
    name = await store_lines(asking, 10_000_000, 0.0005)
    await asking.ask(api.DEPLOY, api.Deploy(backend=name, name=f"{name}-live"))
    await when(asking, f"{name}-live", has("lines", 100))
    report = await undeploy(asking, f"{name}-live")
    document = await evidence_of(asking, report)
    count = document["vertices"]["numbers"]["records_in"]
    assert document["vertices"]["numbers"]["drained"] and not document["vertices"]["tag"]["drained"]
    assert [line["n"] for line in read_lines(place, report)] == list(range(count))


async def test_a_source_that_waits_for_ever_has_passed_on_all_that_it_has_given_and_drains_at_once(place: Place, asking: Session) -> None:
    vertices = {"silent": {"component": "silent@1.0.0"}, "tag": {"component": "tag@1.0.0"}, "lines": {"component": "jsonl-file@1.0.0"}}
    name = await store_backend(asking, vertices, "silent.out -> tag.in", "tag.out -> lines.in")
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await when(asking, name, has("lines", 50))
    report = await undeploy(asking, name)
    document = await evidence_of(asking, report)
    assert document["vertices"]["silent"]["drained"] and document["vertices"]["silent"]["ports"]["out"]["count"] == 50
    assert [line["n"] for line in read_lines(place, report)] == list(range(50))

    async def has_left_by_itself() -> bool:
        return "ended: 50 in, 50 out" in (place.settings.data / "logs" / name / "silent.log").read_text()

    await until(has_left_by_itself)


async def test_a_source_that_blocks_its_whole_process_is_killed_and_ends_where_it_has_committed(asking: Session) -> None:
    name = await store_backend(asking, {"stuck": {"component": "stuck@1.0.0"}})
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await when(asking, name, lambda vertices, whole: whole.state == "running")
    assert (await undeploy(asking, name)).outcome == "finished"


async def test_missing_and_undeclared_files_are_named_in_the_report(asking: Session) -> None:
    vertices = {"numbers": {"component": "numbers@1.0.0"}, "careless": {"component": "careless@1.0.0"}}
    name = await store_backend(asking, vertices, "numbers.out -> careless.in")
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    report = await undeploy(asking, name)
    assert [one.slot for one in report.generated] == ["kept"], report
    assert report.missing == ["careless.forgotten"]
    assert report.undeclared == ["careless: kept/surplus.txt"]


async def test_a_teardown_survives_a_dead_store_and_a_killed_coordinator(own_place: Place) -> None:
    coordinator = own_place.coordinator()
    _, s3 = own_place.stack.processes
    keys = load_or_make_keys(own_place.settings.data / "s3-keys.json")
    try:
        async with open_session(own_place.settings) as session:
            assert await wait_for_coordinator(session.client, "default", 60)
            name = await store_lines(session, 10_000_000, 0.001)
            await session.ask(api.DEPLOY, api.Deploy(backend=name))
            await when(session, name, has("lines", 50))
            await asyncio.to_thread(s3.stop)
            await session.ask(api.UNDEPLOY, api.Undeploy(name=name))
            await when(session, name, lambda vertices, whole: vertices["tag"].state == "finished")
            coordinator.kill()
            await asyncio.to_thread(coordinator.wait)
            assert (await load_deployment(session.client, "default", name)).desired == "draining"
            coordinator = own_place.coordinator()
            assert await wait_for_coordinator(session.client, "default", 60)
            assert (await status_of(session, name)).state == "stopping"
            s3 = s3_process(own_place.settings.data, int(own_place.stack.s3_endpoint.rpartition(":")[2]), keys)
            await asyncio.to_thread(s3.start)
            found = await when(session, name, lambda vertices, whole: whole.report is not None)
            assert found.report is not None and found.report.outcome == "finished"
            lines = read_lines(own_place, found.report)
            assert [line["n"] for line in lines] == list(range(len(lines)))
    finally:
        coordinator.terminate()
        await asyncio.to_thread(coordinator.wait)
        await asyncio.to_thread(s3.stop)


async def test_a_second_coordinator_takes_over_within_five_seconds(own_place: Place) -> None:
    first = own_place.coordinator()
    second: subprocess.Popen[bytes] | None = None
    try:
        async with open_session(own_place.settings) as session:
            assert await wait_for_coordinator(session.client, "default", 60)
            name = await store_lines(session, 100)
            await session.ask(api.DEPLOY, api.Deploy(backend=name))
            await when(session, name, lambda vertices, whole: whole.state == "finished")
            second = own_place.coordinator()
            await asyncio.to_thread(_wait_for_line, own_place.settings.data / "coordinator.log", "follows")
            first.kill()
            await asyncio.to_thread(first.wait)
            async with asyncio.timeout(5 + 3):  # and the time to start vertices
                await session.ask(api.DEPLOY, api.Deploy(backend=name, name="next"))
                await when(session, "next", lambda vertices, whole: whole.state == "finished")
            for deployed in (name, "next"):
                await undeploy(session, deployed, discard=True)
    finally:
        for one in (first, second):
            if one is not None:
                one.terminate()
                await asyncio.to_thread(one.wait)


def _wait_for_line(path: Path, text: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while path.read_text().count(text) < 2:  # each begins so
        assert time.monotonic() < deadline
        time.sleep(0.05)
