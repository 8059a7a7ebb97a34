"""`thalweg validate --connect`: opens every outside connection of a graph before it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from thalweg.api.probes import PROBE, PROBES_TIMEOUT_S, Connection, Probe, Probing
from thalweg.client import open_session
from thalweg.client.probes import run_probes
from thalweg.graph.plan import Plan, PlannedVertex
from thalweg.settings import Settings
from thalweg.wire.planned import spec_of
from thalweg_cli.reach import reach
from thalweg_cli.secrets_of_run import given_secrets


def try_connections(settings: Settings, plan: Plan) -> list[Connection]:
    """How the connections of the vertices that have some are. Blocking, bounded.

    They are opened where the vertices would run: by the coordinator, with the workspace's secrets, where there is one; else from here,
    with those of the environment, as `thalweg run` would.

    Raises:
        RejectedError: a secret is not set.
        UnreachableError: the server that is given does not answer.
    """
    vertices = [one for one in plan.vertices if one.manifest.has_probe]
    if not vertices:
        return []
    if settings.nats_url is not None and asyncio.run(reach(settings)):
        return asyncio.run(_ask(settings, vertices))
    values = given_secrets(vertices)
    return run_probes([(_probing(one), {slot: values[name] for slot, name in one.secrets.items()}) for one in vertices], {})


def exit_code_of(connections: Sequence[Connection]) -> int:
    """What the command leaves with: as for a server that cannot be reached, or for a request that is refused."""
    outcomes = {one.outcome for one in connections}
    return 6 if "unreachable" in outcomes else 3 if "refused" in outcomes else 0


def fault_lines(one: Connection) -> list[str]:
    """What people are told of a connection that did not open."""
    what = "cannot be reached" if one.outcome == "unreachable" else "refuses"
    target = f"{one.target}: " if one.target and one.target not in one.reason else ""
    lines = [f"error: vertex {one.vertex} ({one.component}) {what}: {target}{one.reason}"]
    return [*lines, f"  hint: {one.hint}"] if one.hint else lines


async def _ask(settings: Settings, vertices: list[PlannedVertex]) -> list[Connection]:
    async with open_session(settings) as session:
        return (await session.ask(PROBE, Probe(vertices=[_probing(one) for one in vertices]), PROBES_TIMEOUT_S + 10)).connections


def _probing(vertex: PlannedVertex) -> Probing:
    spec = spec_of(vertex)
    kept = {name: getattr(spec, name) for name in ("component", "code", "digest", "archive", "params", "secrets")}
    return Probing(vertex=spec.name, **kept)
