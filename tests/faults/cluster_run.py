"""A finite run on a cluster, with a live deployment beside it, while something is done to the servers; then everything is compared."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import msgpack

from faults.nats_cluster import DEADLINE_S, Cluster, Place, cluster
from faults.outcomes import PARTS, Outcome, outcome, words_of_run
from integration.served import Servers, deploy, until, until_running
from thalweg.bus.connection import Client, NatsError, connect
from thalweg.bus.deployments import list_deployments, log_state
from thalweg.bus.follower import Follower
from thalweg.bus.inlets import PartlyStoredError, publish
from thalweg.client import Session
from thalweg.embedded.leftovers import end_leftovers
from thalweg.embedded.servers import HOST, free_ports, load_or_make_keys, s3_process
from thalweg.errors import UnreachableError
from thalweg.runtime.tasks import end_tasks
from thalweg.settings import Settings
from thalweg.wire import subjects

DOUBLING = {
    "door": {"component": "http-in@1.0.0", "params": {"type": "record{n: int}"}},
    "double": {"component": "select@1.0.0", "params": {"fields": {"twice": "n * 2"}}},
    "show": {"component": "http-out@1.0.0"},
}
COUNT, PAUSE_S = 4000, 0.02  # the source is slow for as long as anything is done to it
RUN_DEADLINE_S = 180.0
GATE = "faster"


class Running:
    """A finite run that is under way, as the log of its deployment shows it.

    Attributes:
        client: connected to any node.
        stream: its log.
    """

    def __init__(self, client: Client, deployment: str) -> None:
        self.client, self.stream, self._deployment = client, subjects.stream("default", deployment), deployment
        self.longest_gap_s = 0.0
        self._began = time.monotonic()

    def say(self, what: str) -> None:
        """Prints it with its time."""
        print(f"{time.monotonic() - self._began:.1f} s: {what}")

    async def last_sequence(self, client: Client) -> int | None:
        """Of the log; None while that cannot be told."""
        with suppress(UnreachableError, NatsError, OSError, TimeoutError):
            state = await log_state(client, "default", self._deployment)
            return state[1] if state is not None else None
        return None

    async def goes_on(self, client: Client | None = None, patience_s: float | None = None) -> None:
        """Waits until there are some messages more on the log, as this client sees it; no longer than `patience_s`."""
        client, first, end = client or self.client, None, time.monotonic() + (patience_s or DEADLINE_S)
        while True:
            now = await self.last_sequence(client)
            first = now if first is None else first
            if now is not None and first is not None and now >= first + 20:
                return
            if time.monotonic() > end:
                assert patience_s is not None, "nothing comes onto the log any more"
                return
            await asyncio.sleep(0.02)

    async def time_gaps(self) -> None:
        """Notes the longest time in which nothing came onto the log, until it is cancelled."""
        last, since = None, time.monotonic()
        while True:
            now = await self.last_sequence(self.client)
            if now is not None and now != last:
                self.longest_gap_s, last, since = max(self.longest_gap_s, time.monotonic() - since), now, time.monotonic()
            await asyncio.sleep(0.02)


async def run_through(places: list[Place], folder: Path, disturb: Callable[[Cluster, Running], Awaitable[None]], expected: Outcome) -> None:
    """Runs the finite pipeline, and a live one beside it, while they are disturbed; compares everything with what it is to be."""
    with cluster(places, folder / "nodes") as found, _store(folder / "data") as settings:
        await found.until_healthy()
        place = Servers(settings.model_copy(update={"nats_url": found.url, "replicas": 3}), PARTS)
        try:
            with place.process("thalweg_coordinator"):
                async with place.session() as session, _live(session, found.url) as live, _finite(place, folder) as finite:
                    run = Running(session.client, await _deployment_of_run(session))
                    timing = asyncio.create_task(run.time_gaps())
                    try:
                        await run.goes_on()
                        await disturb(found, run)
                        assert finite.returncode is None, "the run ended before it was disturbed"
                        run.say("disturbed no more")
                        (folder / GATE).touch()
                        output, errors = await asyncio.wait_for(finite.communicate(), RUN_DEADLINE_S)
                    finally:
                        await end_tasks(timing)
                    assert finite.returncode == 0, errors[-2000:]
                    run.say("it has ended")
                    await live.finish()
                    run.say("all compared")
            _compare(json.loads(output), place, folder, expected)
            _tell(folder / "data", run.longest_gap_s)
        finally:
            end_leftovers((folder / "data" / "vertices").glob("*/*.json"))


@contextmanager
def _store(data: Path) -> Iterator[Settings]:
    data.mkdir()
    keys, (port,) = load_or_make_keys(data / "s3-keys.json"), free_ports(1)
    process = s3_process(data, port, keys)
    process.start()
    try:
        process.wait_ready(DEADLINE_S)
        yield Settings(s3_endpoint=f"http://{HOST}:{port}", s3_access_key=keys.access_key, s3_secret_key=keys.secret_key, data=data)
    finally:
        process.stop()


@asynccontextmanager
async def _finite(place: Servers, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    params = (f"source.count={COUNT}", f"source.pause_s={PAUSE_S}", f"source.until={folder / GATE}")
    words = (*words_of_run(folder / "out"), *(word for one in params for word in ("--set", one)))
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "thalweg_cli",
        *words,
        env=place.environment,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
            await started.communicate()


async def _deployment_of_run(session: Session) -> str:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if found := [one for one in await list_deployments(session.client, "default") if one.startswith("faults-")]:
                return found[0]
            await asyncio.sleep(0.05)


class Live:
    """Numbers that are published one after another as long as it lasts, and what comes of them."""

    def __init__(self, client: Client, name: str) -> None:
        self._client, self._name, self._stopping = client, name, False
        self.seen: list[int] = []

    async def send(self) -> int:
        """Publishes, each until it is stored; how many there were."""
        n, subject = 0, subjects.inlet("default", self._name, "door")
        while not self._stopping:
            try:
                await publish(self._client, subject, [msgpack.packb({"n": n})], f"number {n}")
                n += 1
            except PartlyStoredError:
                pass
            await asyncio.sleep(0.02)
        return n

    async def read(self) -> None:
        """Follows what comes out, until it is cancelled."""
        follower = Follower(self._client, subjects.stream("default", self._name), [subjects.outlet("default", self._name, "show")], 1)
        await follower.open()
        try:
            while True:
                self.seen.append(msgpack.unpackb((await follower.next()).data)["twice"])
        finally:
            await follower.close()

    def start(self) -> None:
        """Both."""
        self._tasks = asyncio.create_task(self.send()), asyncio.create_task(self.read())

    async def stop(self) -> None:
        """Neither any more."""
        await end_tasks(*self._tasks)

    async def finish(self) -> None:
        """Compares, once all has come."""
        self._stopping = True
        count = await asyncio.wait_for(self._tasks[0], DEADLINE_S)

        async def has_all() -> bool:
            return len(self.seen) >= count

        await until(has_all)
        assert self.seen == [2 * n for n in range(count)]
        print(f"live: {count} records")


@asynccontextmanager
async def _live(session: Session, url: str) -> AsyncIterator[Live]:
    name = await deploy(session, DOUBLING, "door.out -> double.in", "double.out -> show.in")
    await until_running(session, name)
    async with connected(url) as client:
        live = Live(client, name)
        live.start()
        try:
            yield live
        finally:
            await live.stop()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    client = await connect(url, "fault test")
    try:
        yield client
    finally:
        await client.close()


def _compare(summary: dict[str, object], place: Servers, folder: Path, expected: Outcome) -> None:
    assert outcome(summary, folder / "out") == expected
    assert isinstance(summary["replay"], dict) and summary["replay"]["complete"], summary["replay"]
    evidence = json.loads(Path(str(summary["evidence"])).read_text())
    assert evidence["verdict"] == "met" and evidence["replicas"] == 3
    verified = place.command("evidence", "verify", str(summary["evidence"]), "--components", str(PARTS))
    assert verified.returncode == 0, (verified.returncode, verified.stdout, verified.stderr)


def _tell(data: Path, longest_gap_s: float) -> None:
    """The account of what it took."""
    logs = "\n".join(path.read_text() for path in (data / "logs").rglob("*.log"))
    recovered = [re.search(r"(\d+) recovered replies, \d+ waits for room, (\d+) new consumers", line) for line in logs.splitlines()]
    replies, consumers = (sum(int(one[group]) for one in recovered if one) for group in (1, 2))
    print(f"{replies} recovered replies, {consumers} new consumers; longest time without a message: {longest_gap_s:.1f} s")
