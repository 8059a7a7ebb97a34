"""`thalweg evidence …`: what runs have left as proof, checked and made again."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from thalweg.errors import NotReproducedError, ThalwegError
from thalweg_cli.output import AsJson, ask, checked, fail, show_table

app = typer.Typer(no_args_is_help=True, help="Signed documents of runs: every pin, count and digest.")
Which = Annotated[str, typer.Argument(metavar="ID_OR_FILE", help="Evidence by id, or a file that holds it.", show_default=False)]
Components = Annotated[list[str], typer.Option("--components", help="A .py file or folder with components of your own; may be repeated.")]


@app.command("list")
def list_evidence(as_json: AsJson = False) -> None:
    """Lists the evidence that the coordinator knows, oldest first."""
    from rich.table import Table

    from thalweg.api.calls import Nothing
    from thalweg.api.evidence import LIST

    found = ask(LIST, Nothing(), as_json).evidence
    if as_json:
        typer.echo(json.dumps([one.model_dump() for one in found]))
        return
    table = Table("evidence", "deployment", "backend", "revision", "verdict", box=None, pad_edge=False)
    for one in found:
        table.add_row(one.id, one.deployment, one.backend, str(one.revision or ""), one.verdict)
    show_table(table)


@app.command()
def show(evidence_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)], as_json: AsJson = False) -> None:
    """Prints a document as JSON; --json prints it on one line, and errors as JSON too."""
    from thalweg.api.evidence import SHOW, WhichEvidence

    document = ask(SHOW, checked(WhichEvidence, as_json, id=evidence_id), as_json).document
    typer.echo(json.dumps(document, indent=None if as_json else 1, ensure_ascii=False))


@app.command()
def verify(
    which: Which,
    key: Annotated[str | None, typer.Option("--key", help="Public key to trust; default: the workspace's.", show_default=False)] = None,
    components: Components = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Checks the signature, and that nothing has changed of what the document names: artifacts, releases, the graph."""
    from thalweg_cli.proving import verify_evidence

    _tell(verify_evidence, as_json, "verified", which, key, components)


@app.command()
def rerun(
    which: Which,
    key: Annotated[str | None, typer.Option("--key", help="Public key to trust; default: the workspace's.", show_default=False)] = None,
    components: Components = [],  # noqa: B006
    live: Annotated[
        list[str], typer.Option("--live", metavar="VERTEX", help="Run this vertex, though it is not deterministic; may be repeated.")
    ] = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Runs it again from its pins and compares the digest of every port and generated file."""
    from thalweg_cli.proving import rerun_evidence

    _tell(rerun_evidence, as_json, "reproduced", which, key, components, live)


def _tell(work: Any, as_json: bool, good: str, *given: Any) -> None:
    from thalweg.settings import load_settings
    from thalweg_cli.interrupts import Interrupted

    try:
        found = work(load_settings(), *given)
    except ThalwegError as error:
        fail(error, as_json)
    except Interrupted as error:
        typer.echo(f"error: interrupted by {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    said = f"not {good}" if found.lines else good
    if as_json:
        first = found.first.as_json() if found.first is not None else None
        typer.echo(json.dumps({"result": said, "differences": found.lines, "notes": found.notes, "first_difference": first}))
    else:
        for note in found.notes:
            typer.echo(note)
        for line in found.lines:
            typer.echo(f"error: {line}", err=True)
        for line in found.first.lines() if found.first is not None else []:
            typer.echo(line, err=True)
        typer.echo(said)
    if found.lines:
        raise typer.Exit(NotReproducedError.exit_code)
