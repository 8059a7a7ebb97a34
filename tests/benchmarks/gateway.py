"""How long a request through the gateway takes, against the same function by FastAPI alone and by FastStream's request/reply."""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from benchmarks.stage import HERE, Stage, compared, figure
from integration.served import deploy, token_for, until_running
from thalweg.bus.presence import wait_for_coordinator
from thalweg.client import open_session
from thalweg.embedded.servers import free_ports

COUNTS = {1: 150, 10: 1000, 100: 3000}  # requests, by how many callers
GOALS = {10: "at most 4", 100: ""}
READY_S = 30.0
KIND = "record{id: int, name: str, value: float, unit: str, ok: bool, tags: list[str], note: str}"


@dataclass
class _Series:
    """Medians by round, and all latencies, of one server at one number of callers."""

    medians: list[float] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    wrong: int = 0

    def take(self, found: dict[str, Any]) -> None:
        self.medians.append(statistics.median(found["ms"]))
        self.ms += found["ms"]
        self.wrong += found["lost"] + found["crossed"]


def measure(stage: Stage) -> list[dict[str, object]]:
    """Medians and 99th percentiles of all rounds, ms; ratios of medians of runs next to each other; posts accepted a second."""
    gateway, alone = free_ports(2)
    with (
        stage.service(str(HERE / "fastapi_alone.py"), stage.stack.nats_url, "--port", str(alone)),
        stage.service(str(HERE / "faststream_reply.py"), stage.stack.nats_url),
        stage.service("-m", "thalweg_coordinator"),
        stage.service("-m", "thalweg_gateway", "--port", str(gateway)),
    ):
        name, token = asyncio.run(_deployed(stage))
        for port in (alone, gateway):
            _wait_for(port)
        ours = ["http", "--port", gateway, "--path", f"/e/{name}/door/in?wait=30s", "--token", token]
        asked: dict[str, list[object]] = {"FastAPI alone": ["http", "--port", alone, "--path", "/convert"], "thalweg": [*ours]}
        asked["FastStream"] = ["nats"]
        found = {(who, callers): _Series() for who in asked for callers in COUNTS}
        accepted = list[float]()
        ours[4] = f"/e/{name}/door/in"
        for _ in range(stage.rounds):
            for (who, callers), series in found.items():
                series.take(_call(stage, asked[who], callers, COUNTS[callers]))
            posted = _call(stage, [*ours, "--accepted-only"], 100, COUNTS[100])
            accepted.append((posted["count"] - posted["lost"]) / posted["seconds"])
    return [*_rows(found), figure("thalweg, posts accepted a second, 100 callers", statistics.median(accepted), "posts/s")]


def _rows(found: dict[tuple[str, int], _Series]) -> Iterator[dict[str, object]]:
    for (who, callers), series in found.items():
        yield figure(f"{who}, {callers} callers, median", statistics.median(series.ms), "ms", digits=2)
        yield figure(f"{who}, {callers} callers, 99th percentile", statistics.quantiles(series.ms, n=100)[-1], "ms", digits=2)
    for callers in COUNTS:
        ours = found["thalweg", callers].medians
        for other in ("FastAPI alone", "FastStream"):
            goal = GOALS.get(callers, "") if other == "FastAPI alone" else ""
            yield compared(f"thalweg against {other}, {callers} callers", ours, found[other, callers].medians, goal)
        yield figure(f"thalweg, {callers} callers, answers lost or crossed", found["thalweg", callers].wrong, goal="0")


def _call(stage: Stage, words: list[object], callers: int, count: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stage.bare("callers.py", *words, "--callers", callers, "--count", count))
    return found


async def _deployed(stage: Stage) -> tuple[str, str]:
    """An input endpoint, one vertex, an output endpoint; the backend's name, and what opens it."""
    door = {"component": "http-in@1.0.0", "params": {"type": KIND, "rate_per_s": 1e6, "burst": 1_000_000}}
    vertices = {"door": door, "convert": {"component": "bench-fahrenheit@1.0.0"}, "show": {"component": "http-out@1.0.0"}}
    async with open_session(stage.settings) as session:
        if not await wait_for_coordinator(session.client, session.workspace, READY_S):
            raise SystemExit("the coordinator does not answer")
        name = await deploy(session, vertices, "door.out -> convert.in", "convert.out -> show.in", backend="bench-gateway")
        await until_running(session, name)
        return name, await token_for(session, name, "door.in")


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        with closing(socket.socket()) as trying:
            if trying.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > deadline:
            raise SystemExit(f"nothing listens on port {port}")
        time.sleep(0.05)
