"""`thalweg diagnose NAME --against FIXTURE`: what a test is fed with against what is seen live."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from thalweg.client.diagnosis.comparing import Comparison, compare, uses_behind
from thalweg.client.diagnosis.fixtures import kind_of, read_fixture, read_live
from thalweg.client.diagnosis.profiles import One, profile
from thalweg.errors import RejectedError
from thalweg_cli.diagnosis_text import comparison_lines

if TYPE_CHECKING:
    from thalweg.client.session import Session
    from thalweg.settings import Settings
    from thalweg.wire.spec import DeploymentSpec, VertexSpec


def compare_live(settings: Settings, name: str, place: str | None, against: str, wait_s: float, as_json: bool) -> None:
    """Compares and prints.

    Args:
        settings: the servers.
        name: the deployment.
        place: VERTEX or VERTEX.PORT; None for its only source.
        against: a file, an artifact, or NAME[/VERTEX.PORT] of another deployment.
        wait_s: how long to wait for records where the log has few.
        as_json: print JSON.

    Raises:
        RejectedError: there is no such deployment, port or fixture.
        UnreachableError: a server does not answer.
    """
    path = Path(against) if Path(against).is_file() else None
    found = asyncio.run(_compare(settings, name, place, against, path, wait_s))
    if as_json:
        typer.echo(json.dumps(asdict(found), ensure_ascii=False, default=str))
        return
    for line in comparison_lines(found):
        typer.echo(line)


async def _compare(settings: Settings, name: str, place: str | None, against: str, path: Path | None, wait_s: float) -> Comparison:
    from thalweg.bus.deployments import load_deployment
    from thalweg.client import open_session

    async with open_session(settings) as session:
        spec = await load_deployment(session.client, session.workspace, name)
        vertex, port = port_of(spec, place)
        fixture, faulty = await _fixture(session, against, path, vertex)
        live = await read_live(session.client, spec, vertex.name, port, wait_s)
    findings = compare(profile(fixture), profile(live), uses_behind(spec, vertex.name))
    return Comparison(name, f"{vertex.name}.{port}", against, len(fixture), faulty, len(live), findings)


async def _fixture(session: Session, against: str, path: Path | None, vertex: VertexSpec) -> tuple[list[One], int]:
    kind = None
    if path is None and against.startswith("sha256:"):
        from thalweg_cli.bindings import open_store

        kind = await kind_of(session.client, session.workspace, against)
        path = await asyncio.to_thread(lambda: Path(open_store().fetch(against, "fixture")))
    if path is not None:
        return await asyncio.to_thread(read_fixture, path, vertex, kind)
    from thalweg.bus.deployments import load_deployment
    from thalweg.graph.fields import is_name

    name, _, place = against.partition("/")
    if not is_name(name):
        raise RejectedError(f"{against}: there is no such file", code="file.missing")
    try:
        other = await load_deployment(session.client, session.workspace, name)
    except RejectedError as error:
        raise RejectedError(f"{against} is neither a file nor a deployment", code=error.code) from None
    found, port = port_of(other, place or None)
    return await read_live(session.client, other, found.name, port, 0.0), 0


def port_of(spec: DeploymentSpec, place: str | None) -> tuple[VertexSpec, str]:
    """The vertex and port that VERTEX or VERTEX.PORT names; without a name, those of the only source.

    Raises:
        RejectedError: `vertex.unknown`, `port.unknown`, or `port.ambiguous`.
    """
    name, _, port = (place or "").partition(".")
    fitting = [one for one in spec.vertices if (one.name == name if name else not one.inputs)]
    if not fitting:
        there = ", ".join(one.name for one in spec.vertices)
        raise RejectedError(
            f"deployment {spec.name} has no {f'vertex {name}' if name else 'source'}", code="vertex.unknown", hint=f"there are {there}"
        )
    ports = [(one, given) for one in fitting for given in one.outputs if not port or given == port]
    if not ports:
        raise RejectedError(
            f"{place} is no output port of {spec.name}", code="port.unknown", hint=f"its outputs: {', '.join(fitting[0].outputs) or 'none'}"
        )
    if len(ports) > 1:
        choice = ", ".join(f"{one.name}.{given}" for one, given in ports)
        raise RejectedError(
            f"{spec.name} has several ports that could be meant", code="port.ambiguous", hint=f"--vertex names one of {choice}"
        )
    return ports[0]
