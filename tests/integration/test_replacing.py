"""A fixture is taken of a live deployment, edited, and played in place of one of its sources, which goes on live behind it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from integration.deploying import Place, has, read_lines, status_of, store_backend, undeploy, when
from thalweg.api import deployments as api
from thalweg.client import Session
from thalweg.errors import RejectedError

NUMBERS = {"component": "numbers@1.0.0", "params": {"count": 10_000_000, "pause_s": 0.002}}


async def _live(session: Session) -> str:
    vertices = {
        "numbers": NUMBERS,
        "others": NUMBERS,
        "tag": {"component": "tag@1.0.0", "params": {"tag": 1}},
        "lines": {"component": "jsonl-file@1.0.0"},
    }
    name = await store_backend(session, vertices, "numbers.out -> tag.in", "tag.out -> lines.in")
    await session.ask(api.DEPLOY, api.Deploy(backend=name))
    await when(session, name, has("lines", 20))
    return name


async def test_a_fixture_of_a_live_run_is_edited_and_plays_in_place_of_one_source_which_goes_on_live(
    place: Place, asking: Session, tmp_path: Path
) -> None:
    name, fixture = await _live(asking), tmp_path / "live.fixture.jsonl"
    taken = await asyncio.to_thread(place.here, "replay", "capture-fixture", name, "--count", "5", "--out", str(fixture), "--json")
    assert taken.exit_code == 0, taken.output
    assert json.loads(taken.output)["records"] == {"numbers.out": 5, "others.out": 5}
    lines = [json.loads(line) for line in fixture.read_text().splitlines()]
    own = [one for one in lines[1:] if one["port"] == "numbers.out"]
    assert [one["value"] for one in own] == list(range(own[0]["value"], own[0]["value"] + 5)) and own[0]["value"] >= 20
    own[0]["value"] = -7
    fixture.write_text("".join(json.dumps(one) + "\n" for one in lines))

    words = ["--replay", str(fixture), "--replace", "numbers"]
    beside = f"{name}-beside"
    deployed = await asyncio.to_thread(place.here, "deploy", name, "--name", beside, *words, "--continue")
    assert deployed.exit_code == 0, deployed.output
    await when(asking, beside, has("lines", 20))
    os.kill(place.pid(beside, "numbers") or 0, signal.SIGKILL)
    await when(asking, beside, has("lines", 200))
    found = [one["n"] for one in read_lines(place, await undeploy(asking, beside))]
    recorded = [one["value"] for one in own]
    assert found[:5] == recorded and found[5:] == list(range(len(found) - 5)), found[:20]

    done = await asyncio.to_thread(place.here, "redeploy", name, *words, "--json")
    assert done.exit_code == 0, done.output
    actions = {one["vertex"]: one["action"] for one in json.loads(done.output)["changes"]}
    assert actions == {"numbers": "restarts", **dict.fromkeys(["others", "tag", "lines"], "keeps running")}
    await when(asking, name, lambda vertices, whole: bool(vertices) and vertices["lines"].state == "finished")
    before = (await status_of(asking, name)).vertices
    others = next(one.records_out for one in before if one.vertex == "others")
    await when(asking, name, lambda vertices, whole: vertices["others"].records_out > others)
    with pytest.raises(RejectedError) as refused:
        await asking.ask(api.REDEPLOY, api.Redeploy(name=name))
    assert refused.value.code == "redeploy.ended"
    played = [one["n"] for one in read_lines(place, await undeploy(asking, name))]
    assert played[-5:] == recorded and played[:-5] == list(range(len(played) - 5))
