"""`thalweg replay rerun`: runs a graph on the records of a replay, and says how what it puts out differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.errors import NotReproducedError, ThalwegError, UsageError
from thalweg_cli.output import AsJson, fail
from thalweg_cli.replay import Which

if TYPE_CHECKING:
    from thalweg_cli.rerunning import Reran


def rerun(
    which: Which,
    sets: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="VERTEX.PARAM=VALUE",
            help="Another value of a param; may be repeated.",
            default_factory=list,
            show_default=False,
        ),
    ],
    pins: Annotated[
        list[str],
        typer.Option(
            "--pin", metavar="VERTEX=NAME@VERSION", help="Another release; may be repeated.", default_factory=list, show_default=False
        ),
    ],
    recorded: Annotated[
        list[str],
        typer.Option(
            "--recorded",
            metavar="VERTEX",
            help="Also give what this vertex has put out; may be repeated.",
            default_factory=list,
            show_default=False,
        ),
    ],
    live: Annotated[
        list[str],
        typer.Option(
            "--live",
            metavar="VERTEX",
            help="Run this vertex, though it is not deterministic, in place of giving what it gave then; may be repeated.",
            default_factory=list,
            show_default=False,
        ),
    ],
    components: Annotated[
        list[Path],
        typer.Option(
            "--components",
            help="Releases to try, whatever is pinned: .py files, or folders of them.",
            default_factory=list,
            show_default=False,
        ),
    ],
    revision: Annotated[
        int | None, typer.Option("--revision", help="Of the stored backend; default: what ran.", min=0, show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Runs the graph again with the recorded records in place of its sources, and compares port by port."""
    from thalweg.settings import load_settings
    from thalweg_cli.interrupts import Interrupted
    from thalweg_cli.rerunning import Changes, rerun_replay

    try:
        changes = Changes(sets, _read_pins(pins), recorded, live, components, revision)
        found = rerun_replay(load_settings(), which, changes, as_json)
    except ThalwegError as error:
        fail(error, as_json)
    except Interrupted as error:
        typer.echo(f"error: interrupted by {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    _tell(found, as_json)
    if not found.is_same:
        raise typer.Exit(NotReproducedError.exit_code)


def _read_pins(texts: list[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        vertex, equals, component = text.partition("=")
        if not (vertex and equals and "@" in component):
            raise UsageError(f"--pin {text}: not of the form vertex=name@version", code="override.invalid")
        found[vertex] = component
    return found


def _tell(found: Reran, as_json: bool) -> None:
    said = "the same" if found.is_same else "different"
    if as_json:
        first = found.first.as_json() if found.first is not None else None
        ports = [one.as_json() for one in found.changes]
        told = {"result": said, "recorded": found.recorded, "answered": found.answered, "ports": ports, "files": found.files}
        typer.echo(json.dumps({**told, "notes": found.notes, "first_difference": first}))
        return
    for name in found.answered:
        typer.echo(f"{name} is not deterministic: it gave what it gave then")
    for note in found.notes:
        typer.echo(note)
    for one in found.changes:
        typer.echo(one.line(), err=not one.is_same)
    for line in [*found.files, *(found.first.lines() if found.first is not None else [])]:
        typer.echo(line, err=True)
    typer.echo(said)
