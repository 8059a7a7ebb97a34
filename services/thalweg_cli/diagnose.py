"""`thalweg diagnose`: where the flow of a deployment ends, and why."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.errors import RejectedError, ThalwegError
from thalweg_cli.output import AsJson, fail

if TYPE_CHECKING:
    from thalweg.client.diagnosis import Diagnosis
    from thalweg.client.session import Session
    from thalweg.settings import Settings


def diagnose(
    name: Annotated[str, typer.Argument(help="The deployment, running or gone.", show_default=False)],
    vertex: Annotated[
        str | None,
        typer.Option("--vertex", help="Only what is on the way to it; with --against VERTEX or VERTEX.PORT.", show_default=False),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option("--against", help="Compare what is live with a file, an artifact, or NAME[/VERTEX.PORT].", show_default=False),
    ] = None,
    patience: Annotated[float, typer.Option("--patience", help="Seconds without a sign until it counts.", min=0.5, max=3600)] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Says where the records of a deployment stop, and why, from its log alone; of one that is gone, what became of its files."""
    from thalweg.settings import load_settings

    try:
        if against is not None:
            from thalweg_cli.comparing import compare_live

            compare_live(load_settings(), name, vertex, against, patience, as_json)
            return
        found = asyncio.run(_diagnose(load_settings(), name, vertex, patience))
    except ThalwegError as error:
        fail(error, as_json)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if as_json:
        typer.echo(json.dumps(found.as_json(), ensure_ascii=False, default=str))
        return
    from thalweg_cli.diagnosis_text import lines

    for line in lines(found):
        typer.echo(line)


async def _diagnose(settings: Settings, name: str, vertex: str | None, patience_s: float) -> Diagnosis:
    from thalweg.client import open_session
    from thalweg.graph.fields import is_name

    if not is_name(name):
        raise RejectedError(f"{name[:80]!r} is not a name", code="name.invalid")
    async with open_session(settings) as session:
        return await _of(session, name, vertex, patience_s)


async def _of(session: Session, name: str, vertex: str | None, patience_s: float) -> Diagnosis:
    from thalweg.client.diagnosis import diagnose
    from thalweg.client.diagnosis.facts import Patience
    from thalweg.client.diagnosis.gone import diagnose_gone, read_gone
    from thalweg.client.diagnosis.reading import observe

    try:
        facts = await observe(session.client, session.workspace, name, Patience(patience_s, 3 * patience_s))
    except RejectedError as error:
        gone = await read_gone(session.client, session.workspace, name) if error.code == "deployment.unknown" else None
        if gone is None:
            raise
        return diagnose_gone(*gone, vertex)
    if vertex is not None and vertex not in facts.vertices:
        hint = f"there are {', '.join(facts.vertices)}"
        raise RejectedError(f"deployment {name} has no vertex {vertex}", code="vertex.unknown", hint=hint)
    return diagnose(facts, vertex)
