"""`thalweg file …`: typed files of the workspace."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.errors import RejectedError, ThalwegError
from thalweg_cli.output import AsJson, Lease, ask, checked, fail, show_table

if TYPE_CHECKING:
    from thalweg.api.files import File, FileShown

app = typer.Typer(no_args_is_help=True, help="Typed files that vertices are bound to.")
Id = Annotated[str, typer.Argument(metavar="ID", help="A file's id, or 8 and more of its first digits.", show_default=False)]


@app.command()
def put(
    path: Annotated[Path, typer.Argument(help="A file or directory.", show_default=False)],
    kind: Annotated[str | None, typer.Option("--type", help="What it must be; default what it looks like.", show_default=False)] = None,
    name: Annotated[str | None, typer.Option("--name", help="Default that of PATH.", show_default=False)] = None,
    lease: Lease = None,
    as_json: AsJson = False,
) -> None:
    """Checks a file, uploads it, and prints its id. An upload that was cut off goes on where it stopped."""
    from thalweg_cli import uploading

    try:
        found = uploading.put(path, kind, name, lease or "")
    except ThalwegError as error:
        fail(error, as_json)
    typer.echo(found.model_dump_json() if as_json else f"{found.id}  {found.type}  {found.size_bytes:,} bytes  {found.name}")


@app.command("list")
def list_files(as_json: AsJson = False) -> None:
    """Lists files."""
    from rich.table import Table

    found = sorted(_all(as_json), key=lambda one: (one.name, one.created))
    if as_json:
        typer.echo(json.dumps([one.model_dump(mode="json") for one in found]))
        return
    table = Table("id", "type", "name", "bytes", "put", "owner", box=None, pad_edge=False)
    for one in found:
        table.add_row(_short(one.id), one.type, one.name, f"{one.size_bytes:,}", f"{one.created:%Y-%m-%d %H:%M:%S}", one.owner)
    show_table(table)


@app.command()
def show(file: Id, as_json: AsJson = False) -> None:
    """Shows what is known of a file, and where it is bound."""
    import yaml

    found = _show(file, as_json)
    if as_json:
        typer.echo(found.model_dump_json())
        return
    known = found.file.model_dump(mode="json")
    known |= {"facts": found.facts} if found.facts else {}
    known |= {"provenance": found.provenance} if found.provenance else {}
    typer.echo(yaml.safe_dump(known, sort_keys=False, allow_unicode=True).rstrip())
    for use in found.uses:
        typer.echo(f"# bound by {use}")
    if not found.uses:
        typer.echo("# not bound")


@app.command()
def get(
    file: Id,
    out: Annotated[Path | None, typer.Option("--out", help="Where to; default its own name here.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Fetches a file; what it would replace stays, and the command is refused."""
    from thalweg_cli.bindings import open_store

    found = _show(file, as_json).file
    target = out or Path(found.name)
    target = target / found.name if target.is_dir() and out is not None else target
    try:
        if target.exists() or target.is_symlink():
            raise RejectedError(f"{target} is there already", code="out.exists", hint="--out names another place")
        _copy(open_store(found.owner.partition(":")[2]).fetch(found.id, "content"), target)
    except OSError as error:
        fail(RejectedError(f"{target}: {error.strerror}", code="out.not_writable"), as_json)
    except ThalwegError as error:
        fail(error, as_json)
    typer.echo(json.dumps({"path": str(target), "id": found.id}) if as_json else f"{target}  {found.size_bytes:,} bytes")


@app.command()
def remove(file: Id, lease: Lease = None, as_json: AsJson = False) -> None:
    """Removes a file that nothing is bound to."""
    from thalweg.api.files import REMOVE, RemoveFile

    found = ask(REMOVE, checked(RemoveFile, as_json, id=file, lease=lease), as_json)
    typer.echo(found.model_dump_json() if as_json else f"removed {_short(found.id)} {found.name}")


def _all(as_json: bool) -> list[File]:
    from thalweg.api.files import LIST, ListFiles

    found: list[File] = []
    while True:
        page = ask(LIST, ListFiles(after=found[-1].id if found else ""), as_json)
        found += page.files
        if not page.more or not page.files:
            return found


def _show(file: str, as_json: bool) -> FileShown:
    from thalweg.api.files import SHOW, WhichFile

    return ask(SHOW, checked(WhichFile, as_json, id=file), as_json)


def _copy(source: Path, target: Path) -> None:
    """Through a sibling: a copy that is broken off leaves nothing."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".thalweg-") as scratch:
        copy = Path(scratch) / "new"
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, copy)
        copy.rename(target)


def _short(artifact: str) -> str:
    return artifact.removeprefix("sha256:")[:12]
