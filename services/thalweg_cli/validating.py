"""`thalweg validate`: checks a pipeline file without running it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.errors import ThalwegError
from thalweg_cli.checking import Components, Files, PipelineFile, Sets, check_file
from thalweg_cli.output import AsJson, fail

if TYPE_CHECKING:
    from thalweg.api.probes import Connection
    from thalweg.graph.plan import Plan


def validate(
    pipeline: PipelineFile,
    sets: Sets = [],
    files: Files = [],
    components: Components = [],
    connect: Annotated[
        bool, typer.Option("--connect", help="Also open, and close, every connection to outside that it would use.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Checks a pipeline file without running it, and tells all of its faults at once."""
    from thalweg.graph.types import format_type

    try:
        plan = check_file(pipeline, sets, files, components, as_json)
        if as_json and plan.faults:
            typer.echo(
                json.dumps(
                    {
                        "valid": False,
                        "faults": [{"code": one.code, "where": one.where, "message": one.message, "hint": one.hint} for one in plan.faults],
                    }
                )
            )
            raise typer.Exit(3)
        plan.raise_if_faulty()
        connections = _connections(plan) if connect else []
    except ThalwegError as error:
        fail(error, as_json)
    types = {f"{one.name}.{port}": format_type(kind) for one in plan.vertices for port, kind in one.outputs.items()}
    if as_json:
        told = {"connections": [one.model_dump() for one in connections]} if connect else {}
        typer.echo(json.dumps({"valid": True, "ports": types, **told}))
    else:
        typer.echo(f"{pipeline}: valid, {len(plan.vertices)} vertices")
        for port, kind in types.items():
            typer.echo(f"  {port}: {kind}")
    if connect:
        _tell_connections(connections, as_json)


def _connections(plan: Plan) -> list[Connection]:
    from thalweg.settings import load_settings
    from thalweg_cli.connecting import try_connections

    return try_connections(load_settings(), plan)


def _tell_connections(connections: list[Connection], as_json: bool) -> None:
    from thalweg_cli.connecting import exit_code_of, fault_lines

    opened = [one.vertex for one in connections if one.outcome == "opened"]
    if not as_json:
        typer.echo(f"connections opened: {', '.join(opened) or 'none'}" if connections else "no vertex has a connection to outside")
    for line in [line for one in connections if one.outcome != "opened" for line in fault_lines(one)]:
        typer.echo(line, err=True)
    if code := exit_code_of(connections):
        raise typer.Exit(code)
