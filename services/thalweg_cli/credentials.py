"""`thalweg credentials`, `thalweg endpoint credentials`: what vertices and programs that something else runs are let in by NATS with."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.errors import RejectedError, UsageError
from thalweg_cli.output import AsJson, ask, checked, fail

if TYPE_CHECKING:
    from thalweg.api.credentials import Issued

Life = Annotated[
    str | None, typer.Option("--life", help="How long they are good, as 90s, 10m, 2h, 30d; default: for ever.", show_default=False)
]


def for_endpoints(
    backend: Annotated[str, typer.Argument(help="The deployed backend.", show_default=False)],
    names: Annotated[list[str], typer.Argument(help="VERTEX.ENDPOINT, or an alias; several are fine.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="File to write; one that is there is not replaced.", show_default=False)],
    life: Life = None,
    as_json: AsJson = False,
) -> None:
    """Writes credentials of a program: it publishes to these input endpoints and subscribes to these output endpoints, and no more."""
    from thalweg.api.credentials import PROGRAM, ForProgram

    if out.exists():  # before anything is issued
        fail(RejectedError(f"{out} is there already", code="file.exists", hint="choose another name"), as_json)
    made = ask(PROGRAM, checked(ForProgram, as_json, backend=backend, names=names, life_s=_seconds(life, as_json)), as_json)
    _write(made, out, as_json)
    if as_json:
        typer.echo(json.dumps({**made.model_dump(exclude={"text"}), "file": str(out)}))
        return
    typer.echo(f"credentials in {out}; the client's inbox prefix is to be {made.inbox}")
    for word, found in (("publishes to", made.publish), ("subscribes to", made.subscribe)):
        for subject in found:
            typer.echo(f"  {word} {subject}")


def for_vertices(
    deployment: Annotated[str, typer.Argument(help="The deployment.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Folder to write `VERTEX.creds` to; those there are replaced.", show_default=False)],
    life: Annotated[str | None, typer.Option("--life", help="How long they are good; default THALWEG_VERTEX_CREDENTIALS_S.")] = None,
    as_json: AsJson = False,
) -> None:
    """Writes credentials of a deployment's vertices, for those who run them by themselves (`deploy --launcher static`)."""
    from thalweg.api.credentials import VERTICES, ForVertices

    asked = checked(ForVertices, as_json, deployment=deployment, life_s=_seconds(life, as_json))
    made = ask(VERTICES, asked, as_json).credentials
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        fail(RejectedError(f"{out}: {error.strerror}", code="file.unwritable"), as_json)
    files = [out / f"{one.name}.creds" for one in made]
    for one, path in zip(made, files, strict=True):
        path.unlink(missing_ok=True)
        _write(one, path, as_json)
    typer.echo(json.dumps([str(path) for path in files]) if as_json else "\n".join(f"credentials in {path}" for path in files))


def _seconds(life: str | None, as_json: bool) -> float | None:
    from thalweg_cli.durations import parse_duration_s

    found = parse_duration_s(life) if life is not None else None
    if life is not None and found is None:
        fail(UsageError(f"--life: {life!r} is not a length of time", code="usage.duration", hint="as 90s, 10m, 2h or 30d"), as_json)
    return found


def _write(made: Issued, path: Path, as_json: bool) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(made.text)
    except OSError as error:
        fail(RejectedError(f"{path}: {error.strerror}", code="file.unwritable"), as_json)
