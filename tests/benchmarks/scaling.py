"""What graphs cost while nothing happens, and for records that come alone: by deployment, by vertex, by partition."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgpack
import psutil

from benchmarks.gateway import KIND
from benchmarks.stage import Stage, figure
from integration.served import deploy, until, until_running, vertices_of
from thalweg.api import deployments as api
from thalweg.bus.presence import wait_for_coordinator
from thalweg.client import Session, open_session
from thalweg.graph.partitions import partition_of
from thalweg.wire import subjects

DEPLOYMENTS, VERTICES, PARTITIONS = 50, 12, 8
WATCHED_S, PER_S = 10.0, 20
READY_S = 60.0
DOOR = {"component": "http-in@1.0.0", "params": {"type": KIND, "rate_per_s": 1e6, "burst": 1_000_000}}
STEP = {"component": "bench-fahrenheit@1.0.0"}
READING = {"id": 1, "name": "sensor-1", "value": 0.5, "unit": "celsius", "ok": True, "tags": ["a", "b"], "note": "x" * 80}


@dataclass(frozen=True)
class _Use:
    """Of each kind of process, together: ms of CPU a second, and MB that no other process shares."""

    cpu: dict[str, float]
    memory: dict[str, float]


@dataclass(frozen=True)
class _Watch:
    """Looks at all processes of the stack."""

    stage: Stage
    coordinator: psutil.Process

    async def use(self) -> _Use:
        """Over `WATCHED_S` from now."""
        before = {kind: sum(map(_cpu_s, found)) for kind, found in self._kinds().items()}
        await asyncio.sleep(WATCHED_S)
        kinds = self._kinds()
        cpu = {kind: (sum(map(_cpu_s, found)) - before[kind]) * 1e3 / WATCHED_S for kind, found in kinds.items()}
        return _Use(cpu, {kind: sum(map(_own_bytes, found)) / 1e6 for kind, found in kinds.items()})

    def _kinds(self) -> dict[str, list[psutil.Process]]:
        nats = [psutil.Process(one.pid) for one in self.stage.stack.processes if one.name == "nats-server"]
        return {"nats-server": nats, "coordinator": [self.coordinator], "vertices": [one for _, one in self.stage.vertices()]}


def _cpu_s(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        return float(sum(process.cpu_times()[:2]))
    return 0.0


def _own_bytes(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return int(process.memory_full_info().uss)
    return 0


def measure(stage: Stage) -> list[dict[str, object]]:
    """Differences from what the stack uses with nothing deployed, for one of many."""
    with stage.service("-m", "thalweg_coordinator") as coordinator:
        return asyncio.run(_measure(stage, _Watch(stage, coordinator)))


async def _measure(stage: Stage, watch: _Watch) -> list[dict[str, object]]:
    async with open_session(stage.settings) as session:
        if not await wait_for_coordinator(session.client, session.workspace, READY_S):
            raise SystemExit("the coordinator does not answer")
        nothing = await watch.use()
        rows = _rows("deployment, its vertices apart", nothing, await _deployments(session, watch), DEPLOYMENTS)
        chain = {f"v{number}": STEP for number in range(VERTICES)}
        idle, busy = await _graph(session, watch, "vertex", chain)
        rows += _rows("vertex of a chain", nothing, idle, VERTICES + 1) + _per_record("vertex", idle, busy, VERTICES + 1)
        idle, busy = await _graph(session, watch, "partition", {"v0": {**STEP, "partitions": PARTITIONS}})
        return rows + _rows("partition", nothing, idle, PARTITIONS + 1) + _per_record("partition", idle, busy, PARTITIONS + 1)


def _rows(what: str, before: _Use, after: _Use, count: int) -> list[dict[str, object]]:
    rows = []
    for kind in before.cpu:
        cpu, memory = (after.cpu[kind] - before.cpu[kind]) / count, (after.memory[kind] - before.memory[kind]) / count
        rows.append(figure(f"a {what}, idle: CPU of {kind}", cpu, "ms/s", digits=2))
        rows.append(figure(f"a {what}, idle: memory of {kind}", memory, "MB", digits=2))
    return rows


def _per_record(what: str, idle: _Use, busy: _Use, count: int) -> list[dict[str, object]]:
    more = sum(busy.cpu.values()) - sum(idle.cpu.values())
    return [figure(f"a lone record, CPU of all processes, a {what}", more / PER_S / count, "ms", digits=2)]


async def _deployments(session: Session, watch: _Watch) -> _Use:
    """Of deployments whose vertices something else would run."""
    document = {"backend": "bench-idle", "vertices": {"door": DOOR, "v0": STEP}, "edges": ["door.out -> v0.in"]}
    await deploy(session, document["vertices"], *document["edges"], backend="bench-idle")  # type: ignore[arg-type]
    await _discard(session)
    for number in range(DEPLOYMENTS):
        await session.ask(api.DEPLOY, api.Deploy(backend="bench-idle", name=f"bench-idle-{number}", launcher="static"))
    await asyncio.sleep(2)
    found = await watch.use()
    await _discard(session)
    return found


async def _graph(session: Session, watch: _Watch, what: str, steps: dict[str, Any]) -> tuple[_Use, _Use]:
    """Of one deployment that waits for records, and of the same with `PER_S` records a second, each alone."""
    places = ["door", *steps]
    edges = [f"{one}.out -> {other}.in" for one, other in pairwise(places)]
    name = await deploy(session, {"door": DOOR, **steps}, *edges, backend=f"bench-{what}")
    await until_running(session, name)
    idle = await watch.use()
    feeding = asyncio.create_task(_feed(session, name))
    busy = await watch.use()
    feeding.cancel()
    last = places[-1]

    async def has_come() -> bool:
        found = await vertices_of(session, name)
        return sum(one.records_in for place, one in found.items() if partition_of(place)[0] == last) > WATCHED_S * PER_S / 2

    await until(has_come)
    await _discard(session)
    return idle, busy


async def _feed(session: Session, name: str) -> None:
    subject, body = subjects.inlet(session.workspace, name, "door"), msgpack.packb(READING)
    while True:
        await session.client.publish(subject, body)
        await asyncio.sleep(1 / PER_S)


async def _discard(session: Session) -> None:
    for one in (await session.ask(api.STATUS, api.MaybeNamed())).deployments:
        await session.ask(api.UNDEPLOY, api.Undeploy(name=one.name, discard=True))

    async def are_gone() -> bool:
        return not (await session.ask(api.STATUS, api.MaybeNamed())).deployments

    await until(are_gone)
