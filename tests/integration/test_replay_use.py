"""What a replay is good for: run again with its records in place of the sources, as it was or with something changed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec

from integration.deploying import Place, has, store_backend, store_lines, undeploy, when
from thalweg.api import deployments as api
from thalweg.api.backends import EDIT, SHOW, Edit, Which
from thalweg.client import Session
from thalweg.graph.operations import SetParam
from thalweg.wire import subjects


async def _captured(session: Session, **more: Any) -> tuple[str, str]:
    """Endless numbers and what comes from outside, tagged, doubled, mixed as they come, undeployed while they ran: name and replay."""
    vertices = {
        "numbers": {"component": "numbers@1.0.0", "params": {"count": 10_000_000, "pause_s": 0.0005}},
        "tag": {"component": "tag@1.0.0", "params": {"tag": 1}},
        "lines": {"component": "jsonl-file@1.0.0"},
        "door": {"component": "http-in@1.0.0", "params": {"type": "record{n: int}"}},
        "double": {"component": "select@1.0.0", "params": {"fields": {"twice": "n * 2"}}},
        "noisy": {"component": "noisy@1.0.0"},
        "even": {"component": "filter@1.0.0", "params": {"where": "value % 2 == 0"}},
        "others": {"component": "numbers@1.0.0", "params": {"count": 10_000_000, "pause_s": 0.0007}},
        "first": {"component": "first-come@1.0.0"},
        "some": {"component": "filter@1.0.0", "params": {"where": "value % 3 == 0"}},
        "guess": {"component": "guess@1.0.0"},
    }
    edges = ["numbers.out -> tag.in", "tag.out -> lines.in", "door.out -> double.in", "numbers.out -> noisy.in", "noisy.out -> even.in"]
    edges += ["numbers.out -> first.left", "others.out -> first.right", "others.out -> some.in", "some.out -> guess.in"]
    name = await store_backend(session, vertices, *edges)
    await session.ask(api.DEPLOY, api.Deploy(backend=name, capture="all"))
    await when(session, name, has("lines", 100))
    for n in range(20):
        await session.client.publish(subjects.inlet(session.workspace, name, "door"), msgspec.msgpack.encode({"n": n}))
    await when(session, name, has("double", 20))
    report = await undeploy(session, name)
    assert report.replay is not None and report.replay.artifact is not None
    return name, report.replay.artifact


async def _rerun(place: Place, *words: str) -> tuple[int, dict[str, Any]]:
    done = await asyncio.to_thread(place.command, "replay", "rerun", *words, "--json")
    assert done.returncode in (0, 5), done.stderr
    return done.returncode, json.loads(done.stdout)


async def test_a_live_run_is_run_again_from_its_replay_and_what_was_changed_is_told_by_port(
    place: Place, asking: Session, tmp_path: Path
) -> None:
    name, replay = await _captured(asking)
    code, found = await _rerun(place, replay, "--recorded", "noisy")
    assert (code, found["result"], found["files"], found["first_difference"]) == (0, "the same", [], None), found
    assert sorted(found["recorded"]) == ["door", "noisy", "numbers", "others"] and found["answered"] == ["guess"] and not found["notes"]
    ports = {f"{one['vertex']}.{one['port']}": one for one in found["ports"]}
    assert (
        set(ports) == {"tag.out", "double.out", "even.out", "first.out", "some.out", "guess.out"}
        and ports["double.out"]["before"] == ports["double.out"]["after"] == 20
    )
    count = ports["tag.out"]["before"]
    assert count >= 100

    code, found = await _rerun(place, replay, "--recorded", "noisy", "--set", "tag.tag=2", "--set", "some.where=value % 2 == 0")
    ports = {f"{one['vertex']}.{one['port']}": one for one in found["ports"]}
    assert code == 5 and ports["tag.out"]["changed"] == count and ports["double.out"]["same"] and ports["first.out"]["same"]
    guessed = ports["guess.out"]
    assert (
        guessed["changed"] == guessed["added"] == 0 and guessed["missing"] > 0
    )  # of 6, 12, …: what was guessed then; 2 and 4 are left out
    assert found["notes"][0].startswith("guess: the replay has no answer to ")
    first = found["first_difference"]
    assert (first["vertex"], first["index"], first["before"]["value"]["tag"], first["after"]["value"]["tag"]) == ("tag", 0, 1, 2)
    assert found["files"][0].startswith("lines: generated file ")

    small = tmp_path / "small.mcap"
    done = await asyncio.to_thread(place.command, "replay", "trim", replay, str(small), "--count", "15", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["complete"], done.stderr
    code, found = await _rerun(place, str(small), "--recorded", "noisy")
    counts = {one["vertex"]: one["before"] for one in found["ports"] if one["vertex"] != "even"}
    assert (code, counts) == (0, {"tag": 15, "double": 15, "first": 30, "some": 5, "guess": 5})

    newest = (await asking.ask(SHOW, Which(backend=name))).revision
    edited = await asking.ask(
        EDIT,
        Edit(backend=name, author="ada", revision=newest, operations=[SetParam(vertex="double", path="fields", value={"twice": "n * 3"})]),
    )
    code, found = await _rerun(place, replay, "--recorded", "noisy", "--revision", str(edited.revision))
    changed = {one["vertex"]: one["changed"] for one in found["ports"]}
    assert (code, changed) == (5, {"tag": 0, "double": 19, "even": 0, "first": 0, "some": 0, "guess": 0})  # 0 doubled is 0 tripled


async def test_a_record_on_the_log_of_a_deployment_is_followed_back_by_its_id(place: Place, asking: Session) -> None:
    name = await store_lines(asking, 100)
    await asking.ask(api.DEPLOY, api.Deploy(backend=name, keep_messages=1000))
    await when(asking, name, lambda vertices, whole: whole.state == "finished")  # nothing is trimmed meanwhile
    tapped = await asyncio.to_thread(place.command, "tap", name, "tag.out", "--from", "0", "--count", "50", "--json")
    record = json.loads(tapped.stdout.splitlines()[-1])
    done = await asyncio.to_thread(place.command, "replay", "trace", name, f"{record['id']:016x}", "--live", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["record"]["value"] == record["value"] and found["record"]["vertex"] == "tag"
    assert [(one["vertex"], one["value"], one["certain"]) for one in found["back"]] == [("numbers", record["value"]["n"], True)]
    assert [one["vertex"] for one in found["forward"]] == ["lines"]
    await undeploy(asking, name, discard=True)


async def test_a_replay_that_lacks_the_records_of_a_source_is_refused(place: Place, asking: Session) -> None:
    vertices = {"numbers": {"component": "numbers@1.0.0"}, "tag": {"component": "tag@1.0.0"}}
    name = await store_backend(asking, vertices, "numbers.out -> tag.in")
    await asking.ask(api.DEPLOY, api.Deploy(backend=name, capture="tag.out"))
    await when(asking, name, lambda vertices, whole: whole.state == "finished")
    report = await undeploy(asking, name)
    assert report.replay is not None and report.replay.artifact is not None
    done = await asyncio.to_thread(place.command, "replay", "rerun", report.replay.artifact)
    assert done.returncode == 3 and done.stderr.startswith("error: the replay has no records of numbers.out: they were not captured")
