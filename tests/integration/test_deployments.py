"""Deployments of stored backends, by the API of a real coordinator over real vertices: deploy, redeploy, undeploy, evidence."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from thalweg.api import deployments as api
from thalweg.api import evidence as evidence_api
from thalweg.api.backends import APPLY, EDIT, Apply, Edit, Nothing
from thalweg.artifacts import Store
from thalweg.bus.deployments import load_deployment, log_state
from thalweg.bus.presence import wait_for_coordinator
from thalweg.client import Session, open_session
from thalweg.embedded import EmbeddedStack
from thalweg.embedded.leftovers import process_of
from thalweg.embedded.servers import load_or_make_keys, s3_process
from thalweg.errors import RejectedError
from thalweg.graph.operations import PinRelease, SetParam
from thalweg.sealed.evidence import check_signature
from thalweg.settings import Settings
from thalweg.wire import subjects

PARTS = Path(__file__).parent / "deployed.py"
DEADLINE_S = 60.0
_names = (f"graph-{number}" for number in itertools.count())


@dataclass
class Place:
    """Servers with coordinators as processes of their own."""

    stack: EmbeddedStack
    settings: Settings

    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.stack.environment(), "THALWEG_DATA": str(self.settings.data), "THALWEG_COMPONENTS": str(PARTS)}

    def coordinator(self) -> subprocess.Popen[bytes]:
        with (self.settings.data / "coordinator.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", "thalweg_coordinator"], env=self.environment(), stdout=log, stderr=log)

    def store(self) -> Store:
        given = self.settings
        return Store(
            given.s3_endpoint,
            given.s3_bucket,
            given.s3_access_key,
            given.s3_secret_key,
            given.workspace,
            given.data / "cache",
            patience_s=1,
        )

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "thalweg_cli", *words],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def pid(self, deployment: str, vertex: str) -> int | None:
        process = process_of(self.settings.data / "vertices" / deployment / f"{vertex}.json")
        return process.pid if process is not None else None


def _place(folder: Path) -> Iterator[Place]:
    with EmbeddedStack(folder) as stack:
        found = Place(
            stack,
            Settings(
                nats_url=stack.nats_url,
                s3_endpoint=stack.s3_endpoint,
                s3_access_key=stack.s3_access_key,
                s3_secret_key=stack.s3_secret_key,
                data=folder,
            ),
        )
        yield found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    for found in _place(tmp_path_factory.mktemp("place")):
        coordinator = found.coordinator()
        yield found
        coordinator.terminate()
        coordinator.wait()


@pytest.fixture
def own_place(tmp_path: Path) -> Iterator[Place]:
    """For what kills its servers or coordinators."""
    yield from _place(tmp_path)


@pytest.fixture
async def asking(place: Place) -> Any:
    async with open_session(place.settings) as session:
        assert await wait_for_coordinator(session.client, "default", 20)
        yield session


async def _store(session: Session, vertices: dict[str, Any], *edges: str, name: str | None = None, **more: Any) -> str:
    name = name or next(_names)
    document = {"backend": name, "vertices": vertices, "edges": list(edges), **more}
    found = await session.ask(APPLY, Apply(backend=name, author="ada", document=document))
    assert found.deployable, found.faults
    return name


async def _lines(session: Session, count: int, pause_s: float = 0.0, **more: Any) -> str:
    """A backend: numbers, tagged, in a file of lines."""
    vertices = {
        "numbers": {"component": "numbers@1.0.0", "params": {"count": count, "pause_s": pause_s}},
        "tag": {"component": "tag@1.0.0", "params": {"tag": 1}},
        "lines": {"component": "jsonl-file@1.0.0"},
    }
    return await _store(session, vertices, "numbers.out -> tag.in", "tag.out -> lines.in", **more)


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def _status(session: Session, name: str) -> api.DeploymentStatus:
    return (await session.ask(api.STATUS, api.MaybeNamed(name=name))).deployments[0]


async def _when(
    session: Session, name: str, good: Callable[[dict[str, api.VertexStatus], api.DeploymentStatus], bool]
) -> api.DeploymentStatus:
    async def is_good() -> bool:
        found = await _status(session, name)
        assert found.state != "failed" or good({}, found), found
        return good({one.vertex: one for one in found.vertices}, found)

    await _until(is_good)
    return await _status(session, name)


def _has(vertex: str, count: int) -> Callable[[dict[str, api.VertexStatus], api.DeploymentStatus], bool]:
    return lambda vertices, whole: vertex in vertices and vertices[vertex].records_in >= count


async def _undeploy(session: Session, name: str, discard: bool = False) -> api.Report:
    await session.ask(api.UNDEPLOY, api.Undeploy(name=name, discard=discard))
    found = await _when(session, name, lambda vertices, whole: whole.report is not None)
    assert found.report is not None
    return found.report


def _read_lines(place: Place, report: api.Report) -> list[dict[str, int]]:
    (kept,) = (one for one in report.generated if one.vertex == "lines")
    return [json.loads(line) for line in place.store().fetch(kept.artifact, kept.name).read_text().splitlines()]


async def _evidence(session: Session, report: api.Report) -> dict[str, Any]:
    assert report.evidence is not None
    found = await session.ask(evidence_api.SHOW, evidence_api.WhichEvidence(id=report.evidence))
    check_signature(found.document, found.key)
    return found.document


async def test_a_finite_deployment_finishes_and_leaves_its_files_and_evidence(place: Place, asking: Session) -> None:
    name = await _lines(asking, 500, expect=[{"vertex": "tag", "port": "out", "count": {"min": 500}}])
    deployed = await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    assert (deployed.revision, deployed.generation) == (1, 1)
    found = await _when(asking, name, lambda vertices, whole: whole.state == "finished")
    lines = next(one for one in found.vertices if one.vertex == "lines")
    assert (lines.records_in, lines.lag, lines.state, lines.restarts) == (500, 0, "finished", 0)
    report = await _undeploy(asking, name)
    assert report.outcome == "finished" and not (report.missing or report.undeclared or report.unfinished)
    assert len(_read_lines(place, report)) == 500
    document = await _evidence(asking, report)
    assert document["verdict"] == "met" and document["graph_digest"] == deployed.digest
    assert document["vertices"]["tag"]["ports"]["out"]["count"] == 500
    assert await log_state(asking.client, "default", name) is None

    async def is_clean() -> bool:
        return not (place.settings.data / "scratch" / name).exists() and not (place.settings.data / "vertices" / name).exists()

    await _until(is_clean)


async def test_an_endless_source_is_drained_and_nothing_in_flight_is_lost(place: Place, asking: Session) -> None:
    name = await _lines(asking, 10_000_000, 0.0005)
    await asking.ask(api.DEPLOY, api.Deploy(backend=name, name=f"{name}-live"))
    await _when(asking, f"{name}-live", _has("lines", 100))
    report = await _undeploy(asking, f"{name}-live")
    document = await _evidence(asking, report)
    count = document["vertices"]["numbers"]["records_in"]
    assert document["vertices"]["numbers"]["drained"] and not document["vertices"]["tag"]["drained"]
    assert [line["n"] for line in _read_lines(place, report)] == list(range(count))


async def test_a_source_that_waits_for_ever_has_passed_on_all_that_it_has_given_and_drains_at_once(place: Place, asking: Session) -> None:
    vertices = {"silent": {"component": "silent@1.0.0"}, "tag": {"component": "tag@1.0.0"}, "lines": {"component": "jsonl-file@1.0.0"}}
    name = await _store(asking, vertices, "silent.out -> tag.in", "tag.out -> lines.in")
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await _when(asking, name, _has("lines", 50))
    report = await _undeploy(asking, name)
    document = await _evidence(asking, report)
    assert document["vertices"]["silent"]["drained"] and document["vertices"]["silent"]["ports"]["out"]["count"] == 50
    assert [line["n"] for line in _read_lines(place, report)] == list(range(50))

    async def has_left_by_itself() -> bool:
        return "ended: 50 in, 50 out" in (place.settings.data / "logs" / name / "silent.log").read_text()

    await _until(has_left_by_itself)


async def test_a_source_that_blocks_its_whole_process_is_killed_and_ends_where_it_has_committed(asking: Session) -> None:
    name = await _store(asking, {"stuck": {"component": "stuck@1.0.0"}})
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await _when(asking, name, lambda vertices, whole: whole.state == "running")
    assert (await _undeploy(asking, name)).outcome == "finished"


async def test_several_deployments_of_one_backend_run_side_by_side(asking: Session) -> None:
    name = await _lines(asking, 10_000_000, 0.001)
    for other in ("a", "b"):
        await asking.ask(api.DEPLOY, api.Deploy(backend=name, name=f"{name}-{other}"))
    with pytest.raises(RejectedError) as refused:
        await asking.ask(api.DEPLOY, api.Deploy(backend=name, name=f"{name}-a"))
    assert refused.value.code == "deployment.exists"
    for other in ("a", "b"):
        await _when(asking, f"{name}-{other}", _has("lines", 10))
    assert (await _undeploy(asking, f"{name}-a", discard=True)).outcome == "discarded"
    assert (await _status(asking, f"{name}-b")).state == "running"
    await _undeploy(asking, f"{name}-b", discard=True)


async def test_only_a_complete_graph_is_deployed(asking: Session) -> None:
    name = next(_names)
    document = {"backend": name, "vertices": {"tag": {"component": "tag@1.0.0"}}, "edges": []}
    await asking.ask(APPLY, Apply(backend=name, author="ada", document=document))
    with pytest.raises(RejectedError, match="input port 'in' is not connected"):
        await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    with pytest.raises(RejectedError):
        await load_deployment(asking.client, "default", name)


async def test_missing_and_undeclared_files_are_named_in_the_report(asking: Session) -> None:
    vertices = {"numbers": {"component": "numbers@1.0.0"}, "careless": {"component": "careless@1.0.0"}}
    name = await _store(asking, vertices, "numbers.out -> careless.in")
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    report = await _undeploy(asking, name)
    assert [one.slot for one in report.generated] == ["kept"], report
    assert report.missing == ["careless.forgotten"]
    assert report.undeclared == ["careless: kept/surplus.txt"]


async def test_a_redeploy_changes_a_param_in_the_middle_and_loses_nothing(place: Place, asking: Session) -> None:
    name = await _lines(asking, 10_000_000, 0.0005)
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await _when(asking, name, _has("lines", 200))
    kept = {vertex: place.pid(name, vertex) for vertex in ("numbers", "lines")}
    for value in (2, 3):
        await asking.ask(EDIT, Edit(backend=name, author="ada", operations=[SetParam(vertex="tag", path="tag", value=value)]))
        changed = await asking.ask(api.REDEPLOY, api.Redeploy(name=name))
        assert {one.vertex: one.action for one in changed.changes} == {
            "numbers": "keeps running",
            "tag": "restarts",
            "lines": "keeps running",
        }
        await _when(asking, name, lambda vertices, whole, value=value: vertices["tag"].generation == value)  # type: ignore[misc]
        seen = next(one.records_in for one in (await _status(asking, name)).vertices if one.vertex == "lines")
        await _when(asking, name, _has("lines", seen + 100))
    assert kept == {vertex: place.pid(name, vertex) for vertex in ("numbers", "lines")}
    lines = _read_lines(place, await _undeploy(asking, name))
    assert [line["n"] for line in lines] == list(range(len(lines)))
    assert [tag for tag, _ in itertools.groupby(line["tag"] for line in lines)] == [1, 2, 3]


async def test_a_redeploy_goes_on_with_a_large_state(place: Place, asking: Session) -> None:
    vertices = {
        "numbers": {"component": "numbers@1.0.0", "params": {"count": 10_000_000, "pause_s": 0.0003}},
        "total": {"component": "total@1.0.0"},
        "lines": {"component": "jsonl-file@1.0.0"},
    }
    name = await _store(asking, vertices, "numbers.out -> total.in", "total.out -> lines.in")
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await _when(asking, name, _has("lines", 1500))
    await asking.ask(EDIT, Edit(backend=name, author="ada", operations=[SetParam(vertex="total", path="weight", value=1_000_000)]))
    await asking.ask(api.REDEPLOY, api.Redeploy(name=name))
    await _when(asking, name, lambda found, whole: found["total"].generation == 2)
    seen = next(one.records_in for one in (await _status(asking, name)).vertices if one.vertex == "lines")
    await _when(asking, name, _has("lines", seen + 100))
    await asking.ask(EDIT, Edit(backend=name, author="ada", operations=[PinRelease(vertex="total", component="total@2.0.0")]))
    lines = _read_lines(place, await _undeploy(asking, name))
    assert [line["tag"] % 1_000_000 for line in lines] == list(range(1, len(lines) + 1))
    assert [heavy for heavy, _ in itertools.groupby(line["tag"] > 1_000_000 for line in lines)] == [False, True]


async def test_a_state_that_does_not_decode_any_more_fails_clearly_and_can_be_mended(asking: Session) -> None:
    vertices = {
        "numbers": {"component": "numbers@1.0.0", "params": {"count": 10_000_000, "pause_s": 0.001}},
        "total": {"component": "total@1.0.0"},
    }
    name = await _store(asking, vertices, "numbers.out -> total.in")
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await _when(asking, name, _has("total", 10))
    await asking.ask(EDIT, Edit(backend=name, author="ada", operations=[PinRelease(vertex="total", component="total@2.0.0")]))
    await asking.ask(api.REDEPLOY, api.Redeploy(name=name))
    found = await _when(asking, name, lambda vertices, whole: whole.state == "failed")
    total = next(one for one in found.vertices if one.vertex == "total")
    assert total.reason is not None and "the state that it committed cannot be read" in total.reason
    await asking.ask(api.REDEPLOY, api.Redeploy(name=name, revision=1))
    taken = total.records_in
    await _when(asking, name, lambda vertices, whole: whole.state != "failed" and _has("total", taken + 10)(vertices, whole))
    await _undeploy(asking, name, discard=True)


async def test_vertices_are_added_and_removed_by_a_redeploy(place: Place, asking: Session) -> None:
    name = await _lines(asking, 10_000_000, 0.001)
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await _when(asking, name, _has("lines", 50))
    vertices = {
        "numbers": {"component": "numbers@1.0.0", "params": {"count": 10_000_000, "pause_s": 0.001}},
        "more": {"component": "jsonl-file@1.0.0"},
    }
    await _store(asking, vertices, "numbers.out -> more.in", name=name)
    changed = await asking.ask(api.REDEPLOY, api.Redeploy(name=name))
    actions = {one.vertex: one.action for one in changed.changes}
    assert actions == {"numbers": "keeps running", "more": "starts", "tag": "ends", "lines": "ends"}
    await _when(asking, name, _has("more", 50))

    async def is_gone() -> bool:
        return place.pid(name, "tag") is None and not (place.settings.data / "scratch" / name / "lines").exists()

    await _until(is_gone)
    report = await _undeploy(asking, name)
    assert report.outcome == "finished" and [one.vertex for one in report.generated] == ["more"]


async def test_what_has_ended_cannot_change(asking: Session) -> None:
    name = await _lines(asking, 10)
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await _when(asking, name, lambda vertices, whole: whole.state == "finished")
    await asking.ask(EDIT, Edit(backend=name, author="ada", operations=[SetParam(vertex="tag", path="tag", value=2)]))
    with pytest.raises(RejectedError) as refused:
        await asking.ask(api.REDEPLOY, api.Redeploy(name=name))
    assert refused.value.code == "redeploy.ended"
    await _undeploy(asking, name)


async def test_evidence_is_verified_and_run_again_and_tells_what_differs(place: Place, asking: Session, tmp_path: Path) -> None:
    name = await _lines(asking, 10_000_000, 0.0005)
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await _when(asking, name, _has("lines", 100))
    report = await _undeploy(asking, name)
    assert report.evidence is not None
    for command, said in (("verify", "verified"), ("rerun", "reproduced")):
        done = await asyncio.to_thread(place.command, "evidence", command, report.evidence)
        assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, [said]), done
    forged = await _evidence(asking, report)
    forged["vertices"]["tag"]["records_in"] += 1
    (tmp_path / "forged.json").write_text(json.dumps(forged))
    done = await asyncio.to_thread(place.command, "evidence", "verify", str(tmp_path / "forged.json"))
    assert done.returncode == 5 and "signature" in done.stderr
    (kept,) = report.generated
    (stored,) = place.settings.data.rglob(f"artifacts/{kept.artifact.removeprefix('sha256:')}")
    stored.write_bytes(b"other")
    done = await asyncio.to_thread(place.command, "evidence", "verify", report.evidence)
    assert done.returncode == 5 and "lines: generated file" in done.stderr


async def test_a_run_that_comes_out_otherwise_is_not_reproduced(place: Place, asking: Session) -> None:
    vertices = {"numbers": {"component": "numbers@1.0.0"}, "noisy": {"component": "noisy@1.0.0"}}
    name = await _store(asking, vertices, "numbers.out -> noisy.in")
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await _when(asking, name, lambda vertices, whole: whole.state == "finished")
    report = await _undeploy(asking, name)
    assert report.evidence is not None
    done = await asyncio.to_thread(place.command, "evidence", "rerun", report.evidence)
    assert done.returncode == 5 and done.stdout.splitlines()[-1] == "not reproduced"
    assert done.stderr.startswith("error: noisy.out: 100 records with digest")


async def test_commands_deploy_look_and_undeploy(place: Place, asking: Session) -> None:
    name = await _lines(asking, 50)
    assert (await asyncio.to_thread(place.command, "deploy", name)).returncode == 0
    await _when(asking, name, lambda vertices, whole: whole.state == "finished")
    told = json.loads((await asyncio.to_thread(place.command, "status", name, "--json")).stdout)
    assert [one["records_in"] for one in told[0]["vertices"]] == [50, 50, 50]
    assert "ended: 50 in" in (await asyncio.to_thread(place.command, "logs", name, "tag")).stdout
    done = await asyncio.to_thread(place.command, "undeploy", name)
    assert done.returncode == 0 and "saved lines." in done.stdout
    shown = await asyncio.to_thread(place.command, "status", name)
    assert shown.stdout.startswith(f"{name}: stopped")
    assert (await asyncio.to_thread(place.command, "undeploy", name)).returncode == 3


async def test_a_teardown_survives_a_dead_store_and_a_killed_coordinator(own_place: Place) -> None:
    coordinator = own_place.coordinator()
    _, s3 = own_place.stack.processes
    keys = load_or_make_keys(own_place.settings.data / "s3-keys.json")
    try:
        async with open_session(own_place.settings) as session:
            assert await wait_for_coordinator(session.client, "default", 20)
            name = await _lines(session, 10_000_000, 0.001)
            await session.ask(api.DEPLOY, api.Deploy(backend=name))
            await _when(session, name, _has("lines", 50))
            await asyncio.to_thread(s3.stop)
            await session.ask(api.UNDEPLOY, api.Undeploy(name=name))
            await _when(session, name, lambda vertices, whole: vertices["tag"].state == "finished")
            coordinator.kill()
            await asyncio.to_thread(coordinator.wait)
            assert (await load_deployment(session.client, "default", name)).desired == "draining"
            coordinator = own_place.coordinator()
            assert await wait_for_coordinator(session.client, "default", 20)
            assert (await _status(session, name)).state == "stopping"
            s3 = s3_process(own_place.settings.data, int(own_place.stack.s3_endpoint.rpartition(":")[2]), keys)
            await asyncio.to_thread(s3.start)
            found = await _when(session, name, lambda vertices, whole: whole.report is not None)
            assert found.report is not None and found.report.outcome == "finished"
            lines = _read_lines(own_place, found.report)
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
            assert await wait_for_coordinator(session.client, "default", 20)
            name = await _lines(session, 100)
            await session.ask(api.DEPLOY, api.Deploy(backend=name))
            await _when(session, name, lambda vertices, whole: whole.state == "finished")
            second = own_place.coordinator()
            await asyncio.to_thread(_wait_for_line, own_place.settings.data / "coordinator.log", "follows")
            first.kill()
            await asyncio.to_thread(first.wait)
            async with asyncio.timeout(5 + 3):  # and the time to start vertices
                await session.ask(api.DEPLOY, api.Deploy(backend=name, name="next"))
                await _when(session, "next", lambda vertices, whole: whole.state == "finished")
            for deployed in (name, "next"):
                await _undeploy(session, deployed, discard=True)
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


LEAF = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=20) | st.binary(max_size=20)
JSON = LEAF | st.lists(LEAF, max_size=4) | st.dictionaries(st.text(max_size=12), LEAF | st.lists(LEAF, max_size=2), max_size=4)
BAD_NAME = st.sampled_from(["a.b", "a b", "*", ">", "", "x" * 64, "../x", "a\n", "nothing", "api"]) | JSON
HOSTILE = st.fixed_dictionaries(
    {"surplus": JSON},
    optional={"backend": BAD_NAME, "name": BAD_NAME, "id": BAD_NAME, "revision": st.integers(-(2**63), 2**64 - 1) | JSON, "discard": JSON},
) | st.fixed_dictionaries({"name": BAD_NAME}, optional={"backend": BAD_NAME, "id": BAD_NAME})
VERBS = [("deployment", "deploy"), ("deployment", "redeploy"), ("deployment", "undeploy"), ("evidence", "show")]


@hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200) | HOSTILE.map(msgspec.msgpack.encode), verb=st.sampled_from(VERBS))
async def test_requests_that_are_none_get_a_typed_error_and_change_nothing(asking: Session, body: bytes, verb: tuple[str, str]) -> None:
    before = [one.name for one in (await asking.ask(api.STATUS, api.MaybeNamed())).deployments]
    reply = await asking.client.request(subjects.api("default", *verb), body, timeout=10)
    answer: dict[str, Any] = msgspec.msgpack.decode(reply.data)
    assert answer["error"]["code"] and answer["error"]["code"] != "internal"
    assert [one.name for one in (await asking.ask(api.STATUS, api.MaybeNamed())).deployments] == before
    await asking.ask(evidence_api.LIST, Nothing())
