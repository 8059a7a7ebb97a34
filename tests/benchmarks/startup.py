"""How long a graph of 20 vertices takes from `deploy` to its work, by launcher: until all have claimed, until a record is through."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil
from nats.aio.msg import Msg

from benchmarks.stage import Stage, figure
from thalweg.api import deployments as api
from thalweg.api.backends import APPLY, Apply
from thalweg.bus.presence import wait_for_coordinator
from thalweg.client import Session, open_session
from thalweg.launching import LauncherName, usual_image
from thalweg.settings import Settings
from thalweg.wire import subjects
from thalweg.wire.commit import HEADER, decode_commit

VERTICES = 20
LAUNCHERS: tuple[LauncherName, ...] = ("process", "docker", "static")
DEADLINE_S = 600.0


@dataclass(frozen=True, slots=True)
class _Start:
    """Seconds from the call to deploy: until every vertex has claimed, until the last one has taken a record; the same of CPU, by all."""

    claimed_s: float
    through_s: float
    cpu_s: float


def measure(stage: Stage) -> Iterator[dict[str, object]]:
    """Medians by launcher. With `static`, vertices run already, and wait for their deployment. Kubernetes needs a cluster."""
    for launcher in LAUNCHERS:
        if launcher == "docker" and (why := _docker_fault()):
            yield {"what": f"docker: left out: {why}", "value": "-"}
            continue
        for count in (3, VERTICES):
            found, what = asyncio.run(_starts(stage, launcher, count)), f"{launcher}, {count} vertices"
            yield figure(f"{what}: all have claimed after, median", statistics.median(one.claimed_s for one in found), "s", digits=2)
            yield figure(f"{what}: a record is through after, median", statistics.median(one.through_s for one in found), "s", digits=2)
            if launcher == "process":
                yield figure(f"{what}: CPU time of all until then", statistics.median(one.cpu_s for one in found), "s", digits=2)
    yield {"what": "kubernetes: left out: there is no cluster", "value": "-"}


async def _starts(stage: Stage, launcher: LauncherName, count: int) -> list[_Start]:
    name, vertices = f"bench-startup-{launcher}-{count}", [f"v{number:02}" for number in range(count)]
    data = stage.folder / "data" / name
    data.mkdir(parents=True)
    # The engine's own network: the servers are on the loopback address.
    environment = stage.environment | {"THALWEG_DATA": str(data), "THALWEG_DOCKER_NETWORK": "host"}
    found = list[_Start]()
    with _process(data, environment, "-m", "thalweg_coordinator"):
        async with open_session(Settings(nats_url=stage.stack.nats_url)) as session, asyncio.timeout(DEADLINE_S):
            if not await wait_for_coordinator(session.client, "default", DEADLINE_S):
                raise SystemExit("the coordinator does not answer")
            await session.ask(APPLY, Apply(backend=name, author="bench", document=_graph(name, vertices)))
            for _ in range(stage.rounds):
                with ExitStack() as kept:
                    if launcher == "static":
                        await _keep(kept, data, environment, name, vertices)
                    found.append(await _start(session, stage, launcher, name, vertices))
                    await _remove(session, name)
    return found


async def _keep(kept: ExitStack, data: Path, environment: dict[str, str], name: str, vertices: Sequence[str]) -> None:
    """Starts vertices as something else would, and waits until they wait."""
    log = data / "bench.log"
    before = log.read_text().count("waiting for vertex")
    for vertex in vertices:
        kept.enter_context(_process(data, environment, "-m", "thalweg_vertex", "--deployment", name, "--vertex", vertex, "--kept"))
    while log.read_text().count("waiting for vertex") < before + len(vertices):  # noqa: ASYNC110
        await asyncio.sleep(0.1)


async def _start(session: Session, stage: Stage, launcher: LauncherName, name: str, vertices: Sequence[str]) -> _Start:
    claimed, through = asyncio.Event(), asyncio.Event()
    waiting, last = {*vertices}, vertices[-1]

    async def see(message: Msg) -> None:
        vertex = message.subject.split(".")[4]
        waiting.discard(vertex)
        if not waiting:
            claimed.set()
        said = (message.headers or {}).get(HEADER)
        if vertex == last and said and decode_commit(said).counters.records_in:
            through.set()

    subscription = await session.client.subscribe(subjects.port("default", name, "*", "*").rpartition(".")[0] + ".*", cb=see)
    await session.client.flush()
    before, began = stage.cpu_s() + _cpu_of_children(), time.monotonic()
    await session.ask(api.DEPLOY, api.Deploy(backend=name, launcher=launcher), timeout_s=60)
    await claimed.wait()
    claimed_s = time.monotonic() - began
    await through.wait()
    through_s, cpu_s = time.monotonic() - began, stage.cpu_s() + _cpu_of_children() - before
    await subscription.unsubscribe()
    return _Start(claimed_s, through_s, cpu_s)


async def _remove(session: Session, name: str) -> None:
    await session.ask(api.UNDEPLOY, api.Undeploy(name=name, discard=True))
    while (await session.ask(api.STATUS, api.MaybeNamed(name=name))).deployments[0].report is None:  # noqa: ASYNC110
        await asyncio.sleep(0.1)


def _graph(name: str, vertices: Sequence[str]) -> dict[str, object]:
    """A chain of standard components, which every image has."""
    first, *middle, last = vertices
    every = {"every_s": 0.05, "live": True}
    return {
        "backend": name,
        "vertices": {first: {"component": "timer-source@1.0.0", "params": every}}
        | {one: {"component": "filter@1.0.0", "params": {"where": "index >= 0"}} for one in middle}
        | {last: {"component": "log-sink@1.0.0"}},
        "edges": [f"{one}.out -> {two}.in" for one, two in pairwise(vertices)],
    }


def _cpu_of_children() -> float:
    """CPU time of the processes that run below this one, but for the servers."""
    found = 0.0
    for one in psutil.Process().children(recursive=True):
        try:
            words, times = one.cmdline(), one.cpu_times()
        except psutil.Error:
            continue
        found += times.user + times.system if any("thalweg_" in word for word in words) else 0.0
    return found


def _docker_fault() -> str:
    """Why vertices cannot be started as containers here; empty where they can."""
    done = subprocess.run(["docker", "image", "inspect", usual_image()], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["the engine does not answer"])[-1]


@contextmanager
def _process(folder: Path, environment: dict[str, str], *words: str) -> Iterator[None]:
    with (folder / "bench.log").open("ab") as log:
        started = subprocess.Popen([sys.executable, *words], env=environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        started.terminate()
        started.wait()
