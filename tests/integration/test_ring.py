"""The last part of a live deployment: saved when it is asked for, by triggers and at the end, whatever is killed; ports that come later."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import msgspec

from integration.deploying import PARTS, Place, evidence_of, has, status_of, store_backend, store_lines, undeploy, until, when
from thalweg.api import deployments as api
from thalweg.api import replays as replays_api
from thalweg.api.backends import APPLY, Apply
from thalweg.api.calls import Nothing
from thalweg.client import Session
from thalweg.embedded.leftovers import process_of
from thalweg.replay.reader import Replay
from thalweg.sdk.catalog import Catalog
from thalweg.testing import run_replay
from thalweg.wire import subjects
from thalweg_cli.first_difference import PART, check_replay

ENDLESS = 10_000_000


def _kill_capture(place: Place, name: str) -> None:
    process = process_of(place.settings.data / "captures" / name / "_capture.json")
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)


async def _ring(session: Session, name: str) -> api.RingStatus:
    found = (await status_of(session, name)).ring
    assert found is not None
    return found


async def test_the_last_part_of_a_live_run_is_saved_and_can_be_run_again_though_its_capture_is_killed(
    place: Place, asking: Session, tmp_path: Path
) -> None:
    name = await store_lines(asking, ENDLESS, pause_s=0.002)
    await asking.ask(api.DEPLOY, api.Deploy(backend=name, capture="all", capture_last_s=1.0))
    await when(asking, name, has("lines", 100))

    async def keeps() -> bool:
        return (await _ring(asking, name)).last > 10

    await until(keeps)
    _kill_capture(place, name)
    await when(asking, name, has("lines", 800))
    saved = await asyncio.to_thread(place.here, "replay", "save", name, "--out", str(tmp_path / "last.mcap"))
    assert saved.exit_code == 0 and "window: messages" in saved.output, saved.output
    replay = Replay(tmp_path / "last.mcap")
    assert replay.verify(), (replay.faults, replay.completeness)
    account = replay.completeness
    assert account is not None and account.window is not None and account.first > 1
    assert 0.5 < (account.window.to_ns - account.window.from_ns) / 1e9 < 3
    numbers = [msgspec.msgpack.decode(one.packed) for one in replay.records("numbers", "out")]
    assert numbers[0] > 0 and numbers == list(range(numbers[0], numbers[-1] + 1))
    assert (await status_of(asking, name)).log_messages < 800  # it is trimmed behind what the ring has
    again = run_replay(tmp_path / "last.mcap", catalog=Catalog(paths=(PARTS,)))
    (tagged,) = again.changes
    assert tagged.is_same and 0 < tagged.before <= len(numbers), str(again)
    other = run_replay(tmp_path / "last.mcap", catalog=Catalog(paths=(PARTS,)), sets={"tag.tag": 2})
    assert other.changes[0].changed == tagged.before and other.first is not None

    report = await undeploy(asking, name)
    assert report.replay is not None and report.replay.window and report.replay.complete, report.replay
    listed = [one for one in (await asking.ask(replays_api.LIST, Nothing())).replays if one.deployment == name]
    assert [(one.cause, one.window, bool(one.evidence)) for one in listed] == [("asked for", True, False), ("", True, True)]
    document = await evidence_of(asking, report)
    assert check_replay(place.store(), document) == ([], [PART])


async def test_a_dead_letter_has_the_last_part_saved_once_a_minute_even_when_the_capture_is_killed_just_then(
    place: Place, asking: Session
) -> None:
    vertices = {
        "door": {"component": "http-in@1.0.0", "params": {"type": "record{n: int}"}},
        "double": {"component": "select@1.0.0", "params": {"fields": {"twice": "n * 2"}}},
    }
    name = await store_backend(asking, vertices, "door.out -> double.in")
    on = ["error", "dead-letter"]
    await asking.ask(api.DEPLOY, api.Deploy(backend=name, capture="boundary", capture_last_s=60, capture_on=on))
    inlet = subjects.inlet(asking.workspace, name, "door")
    await when(asking, name, lambda vertices, whole: whole.state == "running")
    for n in range(20):
        await asking.client.publish(inlet, msgspec.msgpack.encode({"n": n}))
    await when(asking, name, has("double", 20))
    await asking.client.publish(inlet, b"\xc1 no msgpack")
    await when(asking, name, lambda vertices, whole: vertices["door"].dead == 1)
    _kill_capture(place, name)

    async def has_saved() -> bool:
        return bool((await _ring(asking, name)).saved)

    await until(has_saved)
    await asking.client.publish(inlet, b"\xc1 no msgpack again")

    async def has_passed_over() -> bool:
        return (await _ring(asking, name)).passed_over > 0

    await until(has_passed_over)
    ring = await _ring(asking, name)
    (window,) = ring.saved
    causes = "error: door has met 1 error", "dead-letter: door has put 1 record aside"  # one record, seen as either
    assert window.by_itself and window.captured.complete and window.cause.startswith(causes), window
    replay = Replay(place.store().fetch(window.captured.artifact or "", "window.mcap"))
    assert replay.verify() and len(list(replay.records("door", "out"))) == 20
    status = await asyncio.to_thread(place.here, "status", name)
    assert f"window {window.id}: {window.captured.artifact}" in status.output and "within a minute" in status.output
    listed = (await asking.ask(replays_api.LIST, Nothing())).replays
    assert [one.artifact for one in listed if one.deployment == name] == [window.captured.artifact]
    await undeploy(asking, name, discard=True)


async def test_a_port_that_a_redeploy_adds_is_captured_from_its_first_record_on(place: Place, asking: Session) -> None:
    name = await store_lines(asking, ENDLESS, pause_s=0.002)
    await asking.ask(api.DEPLOY, api.Deploy(backend=name, capture="boundary", keep_messages=1000))
    await when(asking, name, has("lines", 100))
    numbers = {"component": "numbers@1.0.0", "params": {"count": ENDLESS, "pause_s": 0.002}}
    vertices = {
        "numbers": numbers,
        "tag": {"component": "tag@1.0.0", "params": {"tag": 1}},
        "lines": {"component": "jsonl-file@1.0.0"},
        "others": numbers,
    }
    edges = ["numbers.out -> tag.in", "tag.out -> lines.in"]
    await asking.ask(APPLY, Apply(backend=name, author="ada", document={"backend": name, "vertices": vertices, "edges": edges}))
    await asking.ask(api.REDEPLOY, api.Redeploy(name=name))
    await when(asking, name, lambda vertices, whole: vertices["others"].records_out >= 50)
    _kill_capture(place, name)
    start = api.Start(position=(await status_of(asking, name)).position // 2)
    await asking.ask(api.REDEPLOY, api.Redeploy(name=name, start=start, vertices=["tag"]))
    await when(asking, name, lambda vertices, whole: vertices["others"].records_out >= 200)
    report = await undeploy(asking, name)
    assert report.replay is not None and report.replay.complete, report.replay
    replay = Replay(place.store().fetch(report.replay.artifact or "", "replay.mcap"))
    assert replay.verify() and replay.spec is not None and replay.spec.generation == 3
    found = [msgspec.msgpack.decode(one.packed) for one in replay.records("others", "out")]
    assert len(found) >= 200 and found == list(range(len(found)))
    account = replay.completeness
    assert account is not None
    tagged = account.subjects[subjects.port(asking.workspace, name, "tag", "out")]
    assert tagged.written == tagged.records > len({one.record_id for one in replay.records("tag", "out")})
