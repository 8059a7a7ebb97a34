"""`thalweg diagnose` on real deployments that do not give what they should, several side by side."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from thalweg.api import deployments as api
from thalweg.api.backends import APPLY, Apply
from thalweg.bus.deployments import store_deployment
from thalweg.bus.presence import wait_for_coordinator
from thalweg.client import Session, open_session
from thalweg.client.diagnosis import Diagnosis, Finding, diagnose
from thalweg.client.diagnosis.facts import Patience
from thalweg.client.diagnosis.gone import diagnose_gone, read_gone
from thalweg.client.diagnosis.reading import observe
from thalweg.embedded.leftovers import process_of
from thalweg.graph.pipeline import Pipeline
from thalweg.graph.plan import check_pipeline
from thalweg.sdk.catalog import Catalog
from thalweg.settings import Settings
from thalweg.wire.planned import spec_of
from thalweg.wire.spec import DeploymentSpec

PARTS = Path(__file__).parent / "diagnosed.py"
DEADLINE_S = 60.0
PATIENCE = Patience(1.0, 3.0)
Vertices = dict[str, dict[str, Any]]


def reading(**params: Any) -> dict[str, Any]:
    return {"component": "readings@1.0.0", "params": params}


def step(component: str, **params: Any) -> dict[str, Any]:
    return {"component": f"{component}@1.0.0", "params": params}


SAVE = {"component": "jsonl-file@1.0.0"}
ENDS: Vertices = {
    "rows": reading(count=500),
    "hot": step("filter", where='celsius > 100.0 && room == "attic"'),
    "save_hot": SAVE,
    "bad": {**step("touchy", at=0), "on_error": "dead-letter"},
    "save_bad": SAVE,
    "none": reading(count=0),
    "careless": step("careless-readings"),
}
ENDS_EDGES = ["rows.out -> hot.in", "hot.out -> save_hot.in", "rows.out -> bad.in", "bad.out -> save_bad.in", "none.out -> careless.in"]
WAITS: Vertices = {
    "quick": reading(count=1_000_000, pause_s=0.02),
    "idle": reading(count=0, hang=True),
    "both": step("merged"),
    "save": SAVE,
    "yearly": step("aggregate", window="year", aggregates={"hottest": {"op": "max", "field": "celsius"}}),
    "spare": step("touchy"),
}
WAITS_EDGES = ["quick.out -> both.a", "idle.out -> both.b", "both.out -> save.in", "quick.out -> yearly.in", "quick.out -> spare.in"]
FAILS: Vertices = {"rows": reading(count=500), "bad": step("touchy", at=10), "save": SAVE}
FAILS_EDGES = ["rows.out -> bad.in", "bad.out -> save.in"]
FULL: Vertices = {
    "rows": reading(count=1 << 40),
    "warm": step("filter", where="celsius > 21.0"),
    "slow": step("touchy", slow_s=0.01),
    "save": SAVE,
}
FULL_EDGES = ["rows.out -> warm.in", "warm.out -> slow.in", "slow.out -> save.in"]


@dataclass
class Place:
    """A workspace of its own with a coordinator in a process of its own."""

    settings: Settings
    coordinator: subprocess.Popen[bytes]

    def pid(self, deployment: str, vertex: str) -> int:
        process = process_of(self.settings.data / "vertices" / deployment / f"{vertex}.json")
        assert process is not None
        return process.pid

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "thalweg_cli", "diagnose", *words]
        return subprocess.run(command, env=_environment(self.settings), capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def _environment(settings: Settings) -> dict[str, str]:
    names = ("nats_url", "s3_endpoint", "s3_access_key", "s3_secret_key", "workspace", "data")
    return {**os.environ, **{f"THALWEG_{name.upper()}": str(getattr(settings, name)) for name in names}, "THALWEG_COMPONENTS": str(PARTS)}


@pytest.fixture(scope="module")
def place(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    mine = settings.model_copy(update={"workspace": "diagnosed", "data": tmp_path_factory.mktemp("diagnosed")})
    with (mine.data / "coordinator.log").open("ab") as log:
        coordinator = subprocess.Popen([sys.executable, "-m", "thalweg_coordinator"], env=_environment(mine), stdout=log, stderr=log)
    yield Place(mine, coordinator)
    asyncio.run(_discard_all(mine))
    coordinator.terminate()
    assert coordinator.wait(30) == 0


async def _discard_all(settings: Settings) -> None:
    async with open_session(settings) as session, asyncio.timeout(DEADLINE_S):
        for one in (await session.ask(api.STATUS, api.MaybeNamed())).deployments:
            await session.ask(api.UNDEPLOY, api.Undeploy(name=one.name, discard=True))
        while (await session.ask(api.STATUS, api.MaybeNamed())).deployments:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


@pytest.fixture
async def session(place: Place) -> AsyncIterator[Session]:
    async with open_session(place.settings) as found:
        assert await wait_for_coordinator(found.client, "diagnosed", 60)
        yield found


async def deployed(session: Session, name: str, vertices: Vertices, edges: list[str]) -> None:
    """Deploys, and finds no fault while it starts."""
    document = {"backend": name, "vertices": vertices, "edges": edges}
    applied = await session.ask(APPLY, Apply(backend=name, author="ada", document=document))
    assert applied.deployable, applied.faults
    await session.ask(api.DEPLOY, api.Deploy(backend=name))
    starting = diagnose(await observe(session.client, "diagnosed", name, Patience(), 0.0))
    assert not [one for one in starting.findings if one.severity == "fault"], starting.findings


async def deployed_small(session: Session, name: str, vertices: Vertices, edges: list[str]) -> None:
    """The same with a log that is soon full."""
    content = {"backend": name, "vertices": vertices, "edges": edges}
    plan = check_pipeline(Pipeline.model_validate(content), Catalog(paths=(PARTS,)), None)
    plan.raise_if_faulty()
    spec = DeploymentSpec("diagnosed", name, name, [spec_of(one) for one in plan.vertices], revision=1, deployed_ns=time.time_ns())
    await store_deployment(session.client, msgspec.structs.replace(spec, max_messages_per_subject=32), expected=0)


async def until(session: Session, name: str, good: Callable[[Diagnosis], bool], watch_s: float = 0.5) -> Diagnosis:
    """The first diagnosis that is as it should be."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not good(told := diagnose(await observe(session.client, "diagnosed", name, PATIENCE, watch_s))):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"still {told.findings}")
    return told


def has(code: str, vertex: str | None, severity: str = "fault") -> Callable[[Diagnosis], bool]:
    return lambda told: any((one.code, one.vertex, one.severity) == (code, vertex, severity) for one in told.findings)


def of(told: Diagnosis, code: str, vertex: str | None) -> Finding:
    (one,) = (one for one in told.findings if (one.code, one.vertex) == (code, vertex))
    return one


async def test_what_became_of_the_records_of_a_graph_that_has_ended(place: Place, session: Session) -> None:
    await deployed(session, "ends", ENDS, ENDS_EDGES)
    told = await until(session, "ends", lambda told: told.state == "finished")
    filtered = of(told, "flow.filtered_all", "hot")
    assert (filtered.evidence["records_in"], filtered.evidence["filtered"]) == (500, 500)
    assert filtered.evidence["rejected"]["value"] == {"n": 499, "celsius": 24.0, "room": "hall"}
    assert filtered.evidence["fields"] == {"celsius": 24.0, "room": "hall"}
    dead = of(told, "flow.dead_all", "bad")
    assert dead.evidence["last"]["error"] == "ValueError: cannot take 499" and dead.evidence["last"]["value"]["n"] == 499
    assert of(told, "source.empty", "none").severity == "fault"
    assert of(told, "file.not_written", "careless").place == "summary"
    assert of(told, "file.undeclared", "careless").place == "summary"
    stops = {one.vertex: one.stops_at for one in told.ends}
    assert stops == {"save_hot": "hot", "save_bad": "bad", "careless": "none"}

    done = await asyncio.to_thread(place.command, "ends", "--vertex", "save_hot")
    assert done.returncode == 0, done.stderr
    assert "nothing reaches save_hot: rows → hot ✗ → save_hot" in done.stdout and "source.empty" not in done.stdout
    assert "rejected: rows.out>in" in done.stdout and "[flow.filtered_all]" in done.stdout

    await session.ask(api.UNDEPLOY, api.Undeploy(name="ends"))
    async with asyncio.timeout(DEADLINE_S):
        while (gone := await read_gone(session.client, "diagnosed", "ends")) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    after = diagnose_gone(*gone)
    assert of(after, "file.saved", "save_hot").evidence["size_bytes"] == 0
    assert "sumary.txt instead" in of(after, "file.not_written", "careless").sentence
    assert of(after, "flow.filtered_all", "hot").severity == of(after, "source.empty", "none").severity == "fault"


async def test_who_waits_for_an_idle_input(place: Place, session: Session) -> None:
    await deployed(session, "waits", WAITS, WAITS_EDGES)
    told = await until(session, "waits", has("flow.waits_for_watermark", "both"))
    wait = of(told, "flow.waits_for_watermark", "both")
    assert wait.place == "idle.out>b" and list(wait.evidence["idle"]) == ["idle"] and wait.evidence["waiting"] > 0
    assert of(told, "flow.window_open", "yearly").severity == "note"  # more comes, so it may close
    assert of(told, "port.not_connected", "yearly").severity == "warning" and not has("sink.not_connected", "quick", "warning")(told)
    told = await until(session, "waits", has("source.silent", "idle"))
    assert {one.vertex: one.stops_at for one in told.ends}["save"] == "idle"
    assert not [one for one in told.findings if one.vertex in ("quick", "spare") and one.severity == "fault"]


async def test_who_fails_and_on_which_record(session: Session) -> None:
    await deployed(session, "fails", FAILS, FAILS_EDGES)
    told = await until(session, "fails", lambda told: told.state == "failed")
    failed = of(told, "vertex.failed", "bad")
    assert failed.evidence["record"]["value"] == {"n": 10, "celsius": 20.0, "room": "hall"}
    assert "record 11: ValueError: cannot take 10" in failed.sentence
    assert [one.code for one in told.findings if one.severity == "fault" and one.vertex == "save"] in ([], ["file.not_finished"])


async def test_who_holds_the_others_back_and_what_is_missing_without_a_coordinator(place: Place, session: Session, tmp_path: Path) -> None:
    await deployed_small(session, "full", FULL, FULL_EDGES)
    is_held = has("flow.back_pressure", "warm", "note")
    told = await until(session, "full", lambda told: is_held(told) and told.is_healthy, 1.0)  # runs at the speed of its slowest vertex
    pressure = of(told, "flow.back_pressure", "warm")
    assert list(pressure.evidence["held_by"]) == ["slow"] and pressure.evidence["held_by"]["slow"]["records_per_s"] > 0

    fixture = tmp_path / "fixture.jsonl"
    fixture.write_text("".join(f'{{"n": {n}, "celsius": "mild", "room": "hall"}}\n' for n in range(20)))
    done = await asyncio.to_thread(place.command, "full", "--against", str(fixture), "--json")
    compared = json.loads(done.stdout)
    assert compared["port"] == "rows.out" and compared["fixture_records"] == 20 and compared["live_records"] > 0
    (typed,) = (one for one in compared["findings"] if one["code"] == "fixture.type")
    assert (typed["severity"], typed["place"]) == ("fault", "celsius") and typed["evidence"]["used_by"][0]["vertex"] == "warm"
    done = await asyncio.to_thread(place.command, "full", "--against", "full/warm.out", "--vertex", "slow.out")
    assert done.returncode == 0 and "no difference that matters" in done.stdout, done.stdout

    os.kill(place.pid("full", "save"), signal.SIGSTOP)
    try:
        told = await until(session, "full", has("sink.not_confirmed", "save"))
        assert of(told, "sink.not_confirmed", "save").evidence["lag"] > 0
    finally:
        os.kill(place.pid("full", "save"), signal.SIGCONT)

    place.coordinator.send_signal(signal.SIGSTOP)
    try:
        told = await until(session, "full", has("coordinator.absent", None))
        assert set(of(told, "coordinator.absent", None).evidence["full"]) & {"slow.out", "warm.out"}
    finally:
        place.coordinator.send_signal(signal.SIGCONT)
    await until(session, "full", lambda told: told.is_healthy, 1.0)


async def test_what_cannot_be_diagnosed_is_told_in_a_line(place: Place, session: Session) -> None:
    for words, told in (
        (("nothing",), "there is no deployment nothing"),
        (("full", "--vertex", "dry"), "has no vertex dry"),
        (("full", "--against", "nowhere.csv"), "there is no such file"),
        (("full", "--against", "nowhere"), "neither a file nor a deployment"),
        (("full", "--against", __file__), "cannot be read from text"),
    ):
        done = await asyncio.to_thread(place.command, *words)
        assert done.returncode == 3 and done.stderr.startswith("error: ") and told in done.stderr, (words, done)
