"""Captures of running deployments: killed, refused by the disk, of the boundary alone; and what differs when a run is made again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from thalweg.api import deployments as api
from thalweg.api import evidence as evidence_api
from thalweg.api import replays as replays_api
from thalweg.api.backends import APPLY, Apply
from thalweg.api.calls import Nothing
from thalweg.artifacts import Store
from thalweg.bus.holds import holds_bucket
from thalweg.bus.presence import wait_for_coordinator
from thalweg.client import Session, open_session
from thalweg.embedded import EmbeddedStack
from thalweg.embedded.leftovers import process_of
from thalweg.embedded.servers import load_or_make_keys, s3_process
from thalweg.errors import RejectedError
from thalweg.replay.reader import Replay
from thalweg.settings import Settings

PARTS = Path(__file__).parent / "deployed.py"
DEADLINE_S = 60.0


@dataclass
class Place:
    """Servers with a coordinator as a process of its own."""

    settings: Settings
    environment: dict[str, str]
    stack: EmbeddedStack

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "thalweg_cli", *words]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120, check=False)

    def capture_pid(self, deployment: str) -> int | None:
        process = process_of(self.settings.data / "captures" / deployment / "_capture.json")
        return process.pid if process is not None else None


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("capture")
    with EmbeddedStack(folder) as stack:
        settings = Settings(
            nats_url=stack.nats_url,
            s3_endpoint=stack.s3_endpoint,
            s3_access_key=stack.s3_access_key,
            s3_secret_key=stack.s3_secret_key,
            data=folder,
        )
        environment = {**os.environ, **stack.environment(), "THALWEG_DATA": str(folder), "THALWEG_COMPONENTS": str(PARTS)}
        with (folder / "coordinator.log").open("ab") as log:
            coordinator = subprocess.Popen([sys.executable, "-m", "thalweg_coordinator"], env=environment, stdout=log, stderr=log)
        yield Place(settings, environment, stack)
        coordinator.terminate()
        coordinator.wait()


@pytest.fixture
async def asking(place: Place) -> Any:
    async with open_session(place.settings) as session:
        assert await wait_for_coordinator(session.client, "default", 60)
        yield session


async def _deploy(session: Session, name: str, capture: str, count: int, pause_s: float = 0.0) -> None:
    """Numbers, tagged, then counted, in a file of lines."""
    vertices = {
        "numbers": {"component": "numbers@1.0.0", "params": {"count": count, "pause_s": pause_s}},
        "tag": {"component": "tag@1.0.0"},
        "more": {"component": "filter@1.0.0", "params": {"where": "n >= 0"}},
        "lines": {"component": "jsonl-file@1.0.0"},
    }
    edges = ["numbers.out -> tag.in", "tag.out -> more.in", "more.out -> lines.in"]
    document = {"backend": name, "vertices": vertices, "edges": edges}
    found = await session.ask(APPLY, Apply(backend=name, author="ada", document=document))
    assert found.deployable, found.faults
    await session.ask(api.DEPLOY, api.Deploy(backend=name, capture=capture))


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _status(session: Session, name: str) -> api.DeploymentStatus:
    return (await session.ask(api.STATUS, api.MaybeNamed(name=name))).deployments[0]


async def _in(session: Session, name: str, count: int) -> None:
    async def is_there() -> bool:
        return any(one.vertex == "lines" and one.records_in >= count for one in (await _status(session, name)).vertices)

    await _until(is_there)


async def _undeploy(session: Session, name: str) -> api.Report:
    await session.ask(api.UNDEPLOY, api.Undeploy(name=name))

    async def is_gone() -> bool:
        return (await _status(session, name)).report is not None

    await _until(is_gone)
    report = (await _status(session, name)).report
    assert report is not None
    return report


def _replay(place: Place, report: api.Report) -> Replay:
    assert report.replay is not None and report.replay.artifact is not None, report.replay
    return Replay(Store.of(place.settings).fetch(report.replay.artifact, "replay.mcap"))


async def test_a_capture_that_is_killed_again_and_again_has_everything_and_is_in_the_evidence(place: Place, asking: Session) -> None:
    await _deploy(asking, "killed", "all", 100_000, pause_s=0.002)
    for round_number in range(1, 4):
        await _in(asking, "killed", round_number * 150)

        async def runs() -> bool:
            return place.capture_pid("killed") is not None

        await _until(runs)
        os.kill(place.capture_pid("killed") or 0, signal.SIGKILL)
    report = await _undeploy(asking, "killed")
    assert report.replay is not None and report.replay.complete, report.replay
    replay = _replay(place, report)
    assert replay.verify(), replay.faults
    assert report.evidence is not None
    document = (await asking.ask(evidence_api.SHOW, evidence_api.WhichEvidence(id=report.evidence))).document
    assert document["replay"]["artifact"] == report.replay.artifact
    for vertex in ("numbers", "tag", "more"):
        pinned = document["vertices"][vertex]["ports"]["out"]
        assert pinned["count"] >= 450 and replay.digest(vertex, "out") == (pinned["count"], pinned["digest"])
    listed = (await asking.ask(replays_api.LIST, Nothing())).replays
    assert [(one.evidence, one.complete) for one in listed if one.deployment == "killed"] == [(report.evidence, True)]
    assert not (place.settings.data / "captures" / "killed").exists()
    verified = await asyncio.to_thread(place.command, "evidence", "verify", report.evidence)
    assert verified.returncode == 0, verified.stderr
    shown = await asyncio.to_thread(place.command, "replay", "show", report.evidence, "--json")
    found = json.loads(shown.stdout)
    assert found["complete"] and found["evidence"]["verdict"] == document["verdict"] == "met", shown.stdout
    assert replay.account is not None and replay.account["vertices"] == document["vertices"]


async def test_what_a_redeploy_takes_away_is_captured_before_it_goes(place: Place, asking: Session) -> None:
    await _deploy(asking, "shrinking", "all", 100_000, pause_s=0.002)
    await _in(asking, "shrinking", 100)
    vertices = {"numbers": {"component": "numbers@1.0.0", "params": {"count": 100_000, "pause_s": 0.002}}}
    document = {"backend": "shrinking", "vertices": vertices, "edges": []}
    await asking.ask(APPLY, Apply(backend="shrinking", author="ada", document=document))
    await asking.ask(api.REDEPLOY, api.Redeploy(name="shrinking"))
    report = await _undeploy(asking, "shrinking")
    assert report.generation == 2 and report.replay is not None and report.replay.complete, report.replay
    replay = _replay(place, report)
    assert replay.verify(), replay.faults
    assert len(list(replay.records("more", "out"))) >= 100


async def test_the_boundary_has_what_came_in_and_went_out_and_nothing_else(place: Place, asking: Session) -> None:
    await _deploy(asking, "edges", "boundary", 300)
    await _in(asking, "edges", 300)
    report = await _undeploy(asking, "edges")
    replay = _replay(place, report)
    assert replay.verify(), replay.faults
    counts = {port: len(list(replay.records(port, "out"))) for port in ("numbers", "tag", "more")}
    assert counts == {"numbers": 300, "tag": 0, "more": 300}


async def test_a_full_disk_ends_the_capture_and_nothing_else(place: Place, asking: Session) -> None:
    await _deploy(asking, "full", "all", 100_000, pause_s=0.002)
    await _in(asking, "full", 100)
    psutil.Process(place.capture_pid("full")).rlimit(psutil.RLIMIT_FSIZE, (100_000, 100_000))  # its disk takes no more, its process lives
    held = holds_bucket(asking.client, "default")

    async def is_let_go() -> bool:
        return (await held.get("full.capture")).value is None

    await _until(is_let_go)
    count = next(one.records_in for one in (await _status(asking, "full")).vertices if one.vertex == "lines")
    await _in(asking, "full", count + 200)
    report = await _undeploy(asking, "full")
    assert report.outcome == "finished" and report.replay is not None and not report.replay.complete
    assert "File too large" in (report.replay.reason or "")
    replay = _replay(place, report)
    assert not replay.verify() and not replay.is_complete
    found = [msgspec.msgpack.decode(one.packed) for one in replay.records("numbers", "out")]
    assert len(found) >= 50 and found == list(range(len(found)))


async def test_a_capture_that_cannot_be_written_stops_nothing_and_says_so(place: Place, asking: Session) -> None:
    folder = place.settings.data / "scratch" / "unwritable"
    await _deploy(asking, "unwritable", "all", 100_000, pause_s=0.002)
    await _in(asking, "unwritable", 100)

    async def is_begun() -> bool:
        return (folder / "_capture").is_dir()

    await _until(is_begun)
    pid = place.capture_pid("unwritable")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    (folder / "_capture").rename(folder / "was")
    (folder / "_capture").write_text("in the way")
    os.kill(pid, signal.SIGKILL)
    await _in(asking, "unwritable", 400)
    report = await _undeploy(asking, "unwritable")
    assert report.outcome == "finished" and [one.vertex for one in report.generated] == ["lines"]
    assert report.replay is not None and not report.replay.complete and report.replay.artifact is None
    assert "it cannot be written" in (report.replay.reason or "")


async def test_a_capture_of_a_port_that_is_not_there_is_refused(asking: Session) -> None:
    with pytest.raises(RejectedError) as refused:
        await _deploy(asking, "nowhere", "numbers.out,tag.nowhere", 1)
    assert refused.value.code == "capture.invalid"


def test_a_run_that_is_not_reproduced_names_the_first_record_that_differs(place: Place, tmp_path: Path) -> None:
    state, pipeline = tmp_path / "state", tmp_path / "pipeline.yaml"
    drift = {"component": "drifting@1.0.0", "params": {"path": str(state), "since": 137}}
    numbers = {"component": "numbers@1.0.0", "params": {"count": 500}}
    behind = {"component": "filter@1.0.0", "params": {"where": "n >= 0"}}
    vertices = {"numbers": numbers, "drift": drift, "behind": behind, "lines": {"component": "jsonl-file@1.0.0"}}
    edges = ["numbers.out -> drift.in", "drift.out -> behind.in", "behind.out -> lines.in"]
    pipeline.write_text(json.dumps({"backend": "drift", "vertices": vertices, "edges": edges}))
    state.write_text("7")
    ran = place.command("run", str(pipeline), "--out", str(tmp_path / "out"), "--json")
    assert ran.returncode == 0, ran.stderr
    summary = json.loads(ran.stdout)
    assert summary["replay"]["complete"] and summary["replay"]["artifact"].startswith("sha256:")
    state.write_text("8")
    again = place.command("evidence", "rerun", summary["evidence"], "--json")
    assert again.returncode == 5, again.stderr
    first = json.loads(again.stdout)["first_difference"]
    assert (first["vertex"], first["port"], first["index"], first["kind"]) == ("drift", "out", 137, "changed")
    assert first["before"]["value"] == {"n": 137, "tag": 7} and first["after"]["value"] == {"n": 137, "tag": 8}
    assert first["where"] == "value.tag: 7, now 8"


# The last one: the store that it brings back ends with it.
async def test_a_store_that_goes_away_during_the_upload_stops_nothing_and_has_the_replay_when_it_is_back(
    place: Place, asking: Session
) -> None:
    vertices = {
        "numbers": {"component": "numbers@1.0.0", "params": {"count": 100_000, "pause_s": 0.002}},
        "tag": {"component": "tag@1.0.0"},
    }
    document = {"backend": "stranded", "vertices": vertices, "edges": ["numbers.out -> tag.in"]}
    assert (await asking.ask(APPLY, Apply(backend="stranded", author="ada", document=document))).deployable
    await asking.ask(api.DEPLOY, api.Deploy(backend="stranded", capture="all"))
    log, port = place.settings.data / "logs" / "stranded" / "_capture.log", int(place.stack.s3_endpoint.rpartition(":")[2])

    async def tags(count: int) -> bool:
        return any(one.vertex == "tag" and one.records_in >= count for one in (await _status(asking, "stranded")).vertices)

    async def is_told() -> bool:
        return log.exists() and "the replay is not uploaded yet" in log.read_text()

    await _until(lambda: tags(50))
    _, s3 = place.stack.processes
    await asyncio.to_thread(s3.stop)
    await _until(lambda: tags(200))
    await asking.ask(api.UNDEPLOY, api.Undeploy(name="stranded"))
    await _until(is_told)
    assert (await _status(asking, "stranded")).report is None
    back = s3_process(place.settings.data, port, load_or_make_keys(place.settings.data / "s3-keys.json"))
    await asyncio.to_thread(back.start)
    try:
        report = await _undeploy(asking, "stranded")
        assert report.outcome == "finished" and report.replay is not None and report.replay.complete, report.replay
        replay = _replay(place, report)
        assert replay.verify() and replay.account is not None, replay.faults
        assert replay.digest("tag", "out")[0] == replay.account["vertices"]["tag"]["ports"]["out"]["count"] >= 200
    finally:
        await asyncio.to_thread(back.stop)
