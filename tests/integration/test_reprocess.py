"""Redeploying from an earlier position of the log: records are worked on again, exactly once, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal

import pytest

from integration.deploying import Place, evidence_of, has, read_lines, status_of, store_backend, store_lines, undeploy, until, when
from thalweg.api import deployments as api
from thalweg.api.backends import EDIT, Edit
from thalweg.bus.deployments import log_state
from thalweg.bus.heads import latest_commits, read_heads
from thalweg.bus.history import first_commit
from thalweg.client import Session
from thalweg.errors import RejectedError
from thalweg.graph.operations import SetParam
from thalweg.wire import subjects
from thalweg.wire.commit import Commit

PLENTY = 10**6  # messages: nothing that these tests write is trimmed


async def commits_of(session: Session, name: str) -> dict[str, Commit]:
    return latest_commits(await read_heads(session.client, "default", name))


async def end_of_log(session: Session, name: str) -> int:
    state = await log_state(session.client, "default", name)
    assert state is not None
    return state[1]


async def deploy(session: Session, name: str, keep_messages: int = PLENTY) -> None:
    await session.ask(api.DEPLOY, api.Deploy(backend=name, keep_messages=keep_messages))


async def go_back(session: Session, name: str, position: int, *vertices: str) -> dict[str, api.Restart]:
    asked = api.Redeploy(name=name, start=api.Start(position=position), vertices=list(vertices))
    return {one.vertex: one for one in (await session.ask(api.REDEPLOY, asked)).changes}


async def set_tag(session: Session, name: str, value: int) -> None:
    await session.ask(EDIT, Edit(backend=name, author="ada", operations=[SetParam(vertex="tag", path="tag", value=value)]))


async def kill_when_back(place: Place, session: Session, name: str, vertex: str, generation: int) -> None:
    """Kills a vertex as soon as its new copy has gone back."""

    async def is_back() -> bool:
        commit = (await commits_of(session, name)).get(vertex)
        return commit is not None and commit.rewound == generation

    await until(is_back)
    pid = place.pid(name, vertex)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("part", [0.0, 0.5])
async def test_what_has_finished_is_done_again_and_comes_out_the_same(place: Place, asking: Session, part: float) -> None:
    vertices = {
        "numbers": {"component": "numbers@1.0.0", "params": {"count": 1500, "pause_s": 0.0005}},
        "total": {"component": "total@1.0.0"},
        "lines": {"component": "jsonl-file@1.0.0"},
    }
    name = await store_backend(asking, vertices, "numbers.out -> total.in", "total.out -> lines.in")
    await deploy(asking, name)
    await when(asking, name, lambda found, whole: whole.state == "finished")
    before = await commits_of(asking, name)
    end = await end_of_log(asking, name)
    changed = await go_back(asking, name, max(1, int(end * part)))
    assert {one: change.action for one, change in changed.items()} == {
        "numbers": "keeps running",
        "total": "goes back",
        "lines": "goes back",
    }
    assert {changed[one].state for one in ("total", "lines")} == {"kept" if part else "none yet"}
    await kill_when_back(place, asking, name, "total", 2)
    await kill_when_back(place, asking, name, "lines", 2)
    await when(asking, name, lambda found, whole: whole.state == "finished")
    after = await commits_of(asking, name)
    assert after["total"].ports == before["total"].ports and after["total"].counters.records_in == 1500
    assert after["lines"].counters.records_in == 1500 and after["lines"].generated == before["lines"].generated
    report = await undeploy(asking, name)
    assert [line["tag"] for line in read_lines(place, report)] == list(range(1, 1501))
    document = await evidence_of(asking, report)
    assert {one: found["generation"] for one, found in document["reprocessed"].items()} == {"total": 2, "lines": 2}


async def test_a_live_deployment_does_again_what_a_mistake_has_spoilt(place: Place, asking: Session) -> None:
    name = await store_lines(asking, 10_000_000, 0.02)  # the log keeps 896 messages of it: 18 s, in which all this must happen
    await deploy(asking, name)
    await when(asking, name, has("lines", 60))
    good = await end_of_log(asking, name)
    await set_tag(asking, name, 9)
    await asking.ask(api.REDEPLOY, api.Redeploy(name=name))
    await when(asking, name, lambda vertices, whole: vertices["tag"].generation == 2)
    seen = next(one.records_in for one in (await status_of(asking, name)).vertices if one.vertex == "lines")
    await when(asking, name, has("lines", seen + 30))
    await set_tag(asking, name, 2)
    changed = await go_back(asking, name, good)
    assert changed["tag"].action == changed["lines"].action == "goes back" and "params changed" in changed["tag"].reason
    for vertex in ("lines", "tag"):
        await kill_when_back(place, asking, name, vertex, 3)
    await when(asking, name, lambda vertices, whole: vertices["lines"].generation == 3 and has("lines", seen + 60)(vertices, whole))
    lines = read_lines(place, await undeploy(asking, name))
    assert [line["n"] for line in lines] == list(range(len(lines)))
    assert [tag for tag, _ in itertools.groupby(line["tag"] for line in lines)] == [1, 2]


async def test_readers_that_do_not_go_back_are_given_the_records_again(place: Place, asking: Session) -> None:
    name = await store_lines(asking, 10_000_000, 0.001)
    await deploy(asking, name)
    await when(asking, name, has("lines", 100))
    middle = await end_of_log(asking, name) // 2
    changed = await go_back(asking, name, middle, "tag")
    assert [one for one, change in changed.items() if change.action == "goes back"] == ["tag"]
    await when(asking, name, has("lines", 300))
    numbers = [line["n"] for line in read_lines(place, await undeploy(asking, name))]
    (again,) = (index for index in range(1, len(numbers)) if numbers[index] != numbers[index - 1] + 1)
    assert numbers[again] <= numbers[again - 1]


async def test_a_source_goes_back_to_its_cursor_of_then(place: Place, asking: Session) -> None:
    name = await store_lines(asking, 400, 0.0005)
    await deploy(asking, name)
    await when(asking, name, lambda vertices, whole: whole.state == "finished")
    before, middle = await commits_of(asking, name), await end_of_log(asking, name) // 2
    with pytest.raises(RejectedError) as refused:
        await go_back(asking, name, middle, "numbers")
    assert refused.value.code == "redeploy.ended" and refused.value.hint is not None and "--vertex tag" in refused.value.hint
    await go_back(asking, name, middle, "numbers", "tag", "lines")
    await when(asking, name, lambda vertices, whole: whole.state == "finished" and whole.generation == 2)
    after = await commits_of(asking, name)
    assert after["numbers"].ports == before["numbers"].ports and after["tag"].ports == before["tag"].ports
    assert len(read_lines(place, await undeploy(asking, name))) == 400


async def test_a_position_that_was_trimmed_is_refused_with_the_oldest_that_was_not(asking: Session) -> None:
    name = await store_lines(asking, 10_000_000, 0.001)
    await deploy(asking, name, keep_messages=0)
    await when(asking, name, has("lines", 100))

    stream, subject = subjects.stream("default", name), subjects.port("default", name, "numbers", "out")

    async def is_trimmed() -> bool:
        first = await first_commit(asking.client, stream, subject)
        return first is not None and first.commit is not None and first.commit.number - first.commit.epoch > 1

    await until(is_trimmed)
    with pytest.raises(RejectedError) as refused:
        await go_back(asking, name, 1)
    oldest = refused.value.facts["oldest"]
    assert refused.value.code == "redeploy.trimmed" and "tag" in oldest and min(oldest.values()) > 1
    assert refused.value.hint is not None and f"--from '#{max(oldest.values())}'" in refused.value.hint
    with pytest.raises(RejectedError) as refused:
        await go_back(asking, name, 2**60)
    assert refused.value.code == "redeploy.position"
    await undeploy(asking, name, discard=True)


async def test_the_command_goes_back_by_time_and_says_what_each_vertex_does(place: Place, asking: Session) -> None:
    name = await store_lines(asking, 200)
    assert (await asyncio.to_thread(place.command, "deploy", name, "--keep-log", "1h")).returncode == 0
    await when(asking, name, lambda vertices, whole: whole.state == "finished")
    done = await asyncio.to_thread(place.command, "redeploy", name, "--from", "1h", "--vertex", "lines")
    assert done.returncode == 0, done
    assert done.stdout.splitlines()[:3] == [
        "numbers: keeps running",
        "tag: keeps running",
        f"lines: goes back to before its first record: it had committed none before #{done.stdout.partition('#')[2].partition(chr(10))[0]}",
    ]
    await when(asking, name, lambda vertices, whole: whole.state == "finished" and whole.generation == 2)
    assert len(read_lines(place, await undeploy(asking, name))) == 200
    refused = await asyncio.to_thread(place.command, "redeploy", name, "--from", "yesterday")
    assert refused.returncode == 2 and "hint: as in 2026-11-25T10:00:00Z" in refused.stderr
