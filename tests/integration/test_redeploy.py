"""Redeploying: vertices change in the middle of a run, and nothing is lost or doubled."""

from __future__ import annotations

import itertools

import pytest

from integration.deploying import Place, has, read_lines, status_of, store_backend, store_lines, undeploy, until, when
from thalweg.api import deployments as api
from thalweg.api.backends import EDIT, Edit
from thalweg.client import Session
from thalweg.errors import RejectedError
from thalweg.graph.operations import PinRelease, SetParam


async def test_a_redeploy_changes_a_param_in_the_middle_and_loses_nothing(place: Place, asking: Session) -> None:
    name = await store_lines(asking, 10_000_000, 0.0005)
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await when(asking, name, has("lines", 200))
    kept = {vertex: place.pid(name, vertex) for vertex in ("numbers", "lines")}
    for value in (2, 3):
        await asking.ask(EDIT, Edit(backend=name, author="ada", operations=[SetParam(vertex="tag", path="tag", value=value)]))
        changed = await asking.ask(api.REDEPLOY, api.Redeploy(name=name))
        assert {one.vertex: one.action for one in changed.changes} == {
            "numbers": "keeps running",
            "tag": "restarts",
            "lines": "keeps running",
        }
        await when(asking, name, lambda vertices, whole, value=value: vertices["tag"].generation == value)  # type: ignore[misc]
        seen = next(one.records_in for one in (await status_of(asking, name)).vertices if one.vertex == "lines")
        await when(asking, name, has("lines", seen + 100))
    assert kept == {vertex: place.pid(name, vertex) for vertex in ("numbers", "lines")}
    lines = read_lines(place, await undeploy(asking, name))
    assert [line["n"] for line in lines] == list(range(len(lines)))
    assert [tag for tag, _ in itertools.groupby(line["tag"] for line in lines)] == [1, 2, 3]


async def test_a_redeploy_goes_on_with_a_large_state(place: Place, asking: Session) -> None:
    vertices = {
        "numbers": {"component": "numbers@1.0.0", "params": {"count": 10_000_000, "pause_s": 0.0003}},
        "total": {"component": "total@1.0.0"},
        "lines": {"component": "jsonl-file@1.0.0"},
    }
    name = await store_backend(asking, vertices, "numbers.out -> total.in", "total.out -> lines.in")
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await when(asking, name, has("lines", 1500))
    await asking.ask(EDIT, Edit(backend=name, author="ada", operations=[SetParam(vertex="total", path="weight", value=1_000_000)]))
    await asking.ask(api.REDEPLOY, api.Redeploy(name=name))
    await when(asking, name, lambda found, whole: found["total"].generation == 2)
    seen = next(one.records_in for one in (await status_of(asking, name)).vertices if one.vertex == "lines")
    await when(asking, name, has("lines", seen + 100))
    await asking.ask(EDIT, Edit(backend=name, author="ada", operations=[PinRelease(vertex="total", component="total@2.0.0")]))
    lines = read_lines(place, await undeploy(asking, name))
    assert [line["tag"] % 1_000_000 for line in lines] == list(range(1, len(lines) + 1))
    assert [heavy for heavy, _ in itertools.groupby(line["tag"] > 1_000_000 for line in lines)] == [False, True]


async def test_a_state_that_does_not_decode_any_more_fails_clearly_and_can_be_mended(asking: Session) -> None:
    vertices = {
        "numbers": {"component": "numbers@1.0.0", "params": {"count": 10_000_000, "pause_s": 0.001}},
        "total": {"component": "total@1.0.0"},
    }
    name = await store_backend(asking, vertices, "numbers.out -> total.in")
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await when(asking, name, has("total", 10))
    await asking.ask(EDIT, Edit(backend=name, author="ada", operations=[PinRelease(vertex="total", component="total@2.0.0")]))
    await asking.ask(api.REDEPLOY, api.Redeploy(name=name))
    found = await when(asking, name, lambda vertices, whole: whole.state == "failed")
    total = next(one for one in found.vertices if one.vertex == "total")
    assert total.reason is not None and "the state that it committed cannot be read" in total.reason
    await asking.ask(api.REDEPLOY, api.Redeploy(name=name, revision=1))
    taken = total.records_in
    await when(asking, name, lambda vertices, whole: whole.state != "failed" and has("total", taken + 10)(vertices, whole))
    await undeploy(asking, name, discard=True)


async def test_vertices_are_added_and_removed_by_a_redeploy(place: Place, asking: Session) -> None:
    name = await store_lines(asking, 10_000_000, 0.001)
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await when(asking, name, has("lines", 50))
    vertices = {
        "numbers": {"component": "numbers@1.0.0", "params": {"count": 10_000_000, "pause_s": 0.001}},
        "more": {"component": "jsonl-file@1.0.0"},
    }
    await store_backend(asking, vertices, "numbers.out -> more.in", name=name)
    changed = await asking.ask(api.REDEPLOY, api.Redeploy(name=name))
    actions = {one.vertex: one.action for one in changed.changes}
    assert actions == {"numbers": "keeps running", "more": "starts", "tag": "ends", "lines": "ends"}
    await when(asking, name, has("more", 50))

    async def is_gone() -> bool:
        return place.pid(name, "tag") is None and not (place.settings.data / "scratch" / name / "lines").exists()

    await until(is_gone)
    report = await undeploy(asking, name)
    assert report.outcome == "finished" and [one.vertex for one in report.generated] == ["more"]


async def test_what_has_ended_cannot_change(asking: Session) -> None:
    name = await store_lines(asking, 10)
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await when(asking, name, lambda vertices, whole: whole.state == "finished")
    await asking.ask(EDIT, Edit(backend=name, author="ada", operations=[SetParam(vertex="tag", path="tag", value=2)]))
    with pytest.raises(RejectedError) as refused:
        await asking.ask(api.REDEPLOY, api.Redeploy(name=name))
    assert refused.value.code == "redeploy.ended"
    await undeploy(asking, name)
