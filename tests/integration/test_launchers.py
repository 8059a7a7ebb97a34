"""Deployments whose vertices somebody else starts, and launchers that cannot be used here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import yaml

from integration.deploying import Place, has, names, read_lines, status_of, store_backend, store_lines, undeploy, until, when
from thalweg.api import deployments as api
from thalweg.api.backends import EDIT, Edit
from thalweg.client import Session
from thalweg.errors import RejectedError
from thalweg.graph.operations import SetParam


@contextmanager
def kept(place: Place, deployment: str, vertex: str) -> Iterator[None]:
    """A vertex that is started again whenever it ends, as Compose does."""
    command = [sys.executable, "-m", "thalweg_vertex", "--deployment", deployment, "--vertex", vertex, "--kept"]
    again = 'while true; do "$@" & child=$!; trap "kill $child; wait $child; exit" TERM; wait $child; done'
    started = subprocess.Popen(["bash", "-c", again, "kept", *command], env=place.environment(), stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        started.terminate()
        started.wait()


async def test_vertices_that_somebody_else_starts_wait_run_heed_a_redeploy_and_drain(place: Place, asking: Session) -> None:
    name = await store_lines(asking, 10_000_000, 0.001)
    with ExitStack() as stack:
        for vertex in ("numbers", "tag", "lines"):
            stack.enter_context(kept(place, name, vertex))
        await asking.ask(api.DEPLOY, api.Deploy(backend=name, launcher="static"))
        await when(asking, name, has("lines", 10))
        assert (await status_of(asking, name)).launcher == "static"
        assert not (place.settings.data / "vertices" / name).exists()
        await asking.ask(EDIT, Edit(backend=name, author="ada", operations=[SetParam(vertex="tag", path="tag", value=2)]))
        await asking.ask(api.REDEPLOY, api.Redeploy(name=name))
        await when(asking, name, lambda vertices, _: vertices["tag"].state == "running" and vertices["tag"].restarts == 1)
        printed = place.command("manifests", name, "--namespace", "flows")
        assert printed.returncode == 0 and printed.stderr == ""
        assert [one["kind"] for one in yaml.safe_load_all(printed.stdout)] == ["StatefulSet"] * 3
        report = await undeploy(asking, name)
        assert report.outcome == "finished" and report.unfinished == []
        lines = read_lines(place, report)
        assert [one["n"] for one in lines] == list(range(len(lines))) and lines[-1]["tag"] == 2


async def test_a_vertex_that_somebody_else_starts_and_that_dies_each_time_is_given_up_until_it_is_changed(
    place: Place, asking: Session
) -> None:
    vertices = {
        "numbers": {"component": "numbers@1.0.0", "params": {"count": 50}},
        "mortal": {"component": "mortal@1.0.0", "params": {"dies_of": 30}},
        "lines": {"component": "jsonl-file@1.0.0"},
    }
    name = await store_backend(asking, vertices, "numbers.out -> mortal.in", "mortal.out -> lines.in")
    with ExitStack() as stack:
        for vertex in vertices:
            stack.enter_context(kept(place, name, vertex))
        await asking.ask(api.DEPLOY, api.Deploy(backend=name, launcher="static"))

        async def has_failed() -> bool:
            return (await status_of(asking, name)).state == "failed"

        await until(has_failed)
        (failed,) = (one for one in (await status_of(asking, name)).vertices if one.state == "failed")
        assert (failed.vertex, failed.reason) == ("mortal", "mortal: died 6 times without getting further")
        await asking.ask(EDIT, Edit(backend=name, author="ada", operations=[SetParam(vertex="mortal", path="dies_of", value=-1)]))
        await asking.ask(api.REDEPLOY, api.Redeploy(name=name))
        await when(asking, name, lambda _, whole: whole.state == "finished")
        assert [one["n"] for one in read_lines(place, await undeploy(asking, name))] == list(range(50))


async def test_a_launcher_that_cannot_be_used_here_is_refused_in_words(asking: Session) -> None:
    name = await store_lines(asking, 10)
    with pytest.raises(RejectedError, match="does not run in a cluster"):
        await asking.ask(api.DEPLOY, api.Deploy(backend=name, name=next(names), launcher="kubernetes"))
