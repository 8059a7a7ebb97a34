"""`thalweg apply` and `thalweg backend …`: stored graphs, their logs and revisions."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.errors import RejectedError, ThalwegError
from thalweg_cli.checking import PipelineFile
from thalweg_cli.output import AsJson, Author, Lease, Reason, ask, author_of, checked, fail, show_table

if TYPE_CHECKING:
    from thalweg.api.backends import Edited

app = typer.Typer(no_args_is_help=True, help="Stored graphs, their operation logs and revisions.")
Name = Annotated[str, typer.Argument(help="The backend.", show_default=False)]
Revision = Annotated[int, typer.Argument(help="A revision, as `backend log` numbers them.", min=0, show_default=False)]


def apply(
    pipeline: PipelineFile,
    pin_latest: Annotated[bool, typer.Option("--pin-latest", help="Pin components without a version to the latest.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    author: Author = "",
    reason: Reason = "",
    lease: Lease = None,
    as_json: AsJson = False,
) -> None:
    """Appends the operations that turn the stored backend into this file; files that it binds are uploaded."""
    from thalweg.api.backends import APPLY, Apply
    from thalweg.graph.pipeline import load_content
    from thalweg.sdk.catalog import Catalog
    from thalweg.settings import load_settings
    from thalweg_cli.bindings import upload_bindings

    try:
        content = load_content(pipeline)
        if not isinstance(content, dict) or not isinstance(content.get("backend"), str):
            raise RejectedError(f"{pipeline}: names no backend", code="pipeline.invalid", hint="backend: NAME")
        releases = Catalog(paths=load_settings().components)
        document = upload_bindings(content, pipeline.resolve().parent, releases, is_trial=dry_run, lease=lease or "")
    except ThalwegError as error:
        fail(error, as_json)
    request = checked(
        Apply,
        as_json,
        backend=content["backend"],
        author=author_of(author),
        reason=reason,
        lease=lease,
        document=document,
        pin_latest=pin_latest,
        dry_run=dry_run,
    )
    _show_edited(ask(APPLY, request, as_json), as_json)


@app.command("list")
def list_backends(as_json: AsJson = False) -> None:
    """Lists backends."""
    from rich.table import Table

    from thalweg.api.backends import LIST
    from thalweg.api.calls import Nothing

    found = ask(LIST, Nothing(), as_json).backends
    if as_json:
        typer.echo(json.dumps([one.model_dump() for one in found]))
        return
    table = Table("backend", "revision", "vertices", "edges", "state", "by", "lease", "digest", box=None, pad_edge=False)
    for one in found:
        table.add_row(
            one.backend, str(one.revision), str(one.vertices), str(one.edges), one.state, one.author, one.lease, one.digest[:19] + "…"
        )
    show_table(table)


@app.command()
def show(
    name: Name,
    revision: Annotated[int | None, typer.Option("--revision", help="Default: the newest.", min=0, show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Shows a backend as a pipeline file, and what is not complete."""
    import yaml

    from thalweg.api.backends import SHOW, Which

    found = ask(SHOW, checked(Which, as_json, backend=name, revision=revision), as_json)
    if as_json:
        typer.echo(found.model_dump_json())
        return
    typer.echo(f"# revision {found.revision} of {found.newest}, {found.digest}" + (f", of lease {found.lease}" if found.lease else ""))
    typer.echo(yaml.safe_dump(found.document, sort_keys=False, allow_unicode=True).rstrip())
    for part in (*found.vertices, *found.edges):
        for line in part.reasons:
            typer.echo(f"# {part.state}: {line}")
    for line in found.faults:
        typer.echo(f"# {line}")
    for line in found.warnings:
        typer.echo(f"# warning: {line}")
    typer.echo("# complete" if found.deployable else "# cannot be deployed yet")


@app.command("log")
def log_of(
    name: Name,
    after: Annotated[int, typer.Option("--after", help="Only revisions after this one.", min=0)] = 0,
    limit: Annotated[int, typer.Option("--limit", help="At most so many.", min=1, max=1000)] = 100,
    all_entries: Annotated[bool, typer.Option("--all", help="Also those before the last compaction.")] = False,
    as_json: AsJson = False,
) -> None:
    """Shows a backend's operation log, oldest first."""
    from thalweg.api.backends import LOG, History

    found = ask(LOG, checked(History, as_json, backend=name, after=after, limit=limit, all=all_entries), as_json)
    if as_json:
        typer.echo(found.model_dump_json())
        return
    for entry in found.entries:
        typer.echo(str(entry))
        for operation in entry.operations:
            typer.echo(f"  {operation.describe()}")
    if found.more:
        typer.echo(f"more: --after {found.entries[-1].sequence}")


@app.command()
def diff(
    name: Name,
    old: Revision,
    new: Annotated[int | None, typer.Argument(help="Default: the newest.", min=0, show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Shows what is different between two revisions."""
    from thalweg.api.backends import DIFF, Compare

    found = ask(DIFF, checked(Compare, as_json, backend=name, old=old, new=new), as_json)
    typer.echo(found.model_dump_json() if as_json else "\n".join(found.lines) or "no difference")


@app.command()
def undo(name: Name, revision: Revision, author: Author = "", reason: Reason = "", lease: Lease = None, as_json: AsJson = False) -> None:
    """Appends the inverse of one revision; what was changed since is kept, or the command is refused."""
    from thalweg.api.backends import UNDO, GoTo

    request = checked(GoTo, as_json, backend=name, revision=revision, author=author_of(author), reason=reason, lease=lease)
    _show_edited(ask(UNDO, request, as_json), as_json)


@app.command()
def checkout(
    name: Name, revision: Revision, author: Author = "", reason: Reason = "", lease: Lease = None, as_json: AsJson = False
) -> None:
    """Makes the graph what it was at a revision, as a new revision."""
    from thalweg.api.backends import CHECKOUT, GoTo

    request = checked(GoTo, as_json, backend=name, revision=revision, author=author_of(author), reason=reason, lease=lease)
    _show_edited(ask(CHECKOUT, request, as_json), as_json)


@app.command()
def compact(name: Name, author: Author = "", reason: Reason = "", lease: Lease = None, as_json: AsJson = False) -> None:
    """Writes the shortest history of the same graph; the old one stays readable (`log --all`)."""
    from thalweg.api.backends import COMPACT, Signed

    found = ask(COMPACT, checked(Signed, as_json, backend=name, author=author_of(author), reason=reason, lease=lease), as_json)
    typer.echo(found.model_dump_json() if as_json else f"{name}: revision {found.revision} holds the whole graph")


@app.command()
def edit(
    name: Name,
    operations: Annotated[Path, typer.Argument(help="A file with a JSON list of operations; - is standard input.", show_default=False)],
    revision: Annotated[
        int | None, typer.Option("--revision", help="The one that they were made on; 0: a new backend.", min=0, show_default=False)
    ] = None,
    author: Author = "",
    reason: Reason = "",
    lease: Lease = None,
    as_json: AsJson = False,
) -> None:
    """Appends operations, all or none."""
    from thalweg.api.backends import EDIT, Edit

    try:
        content = json.loads(sys.stdin.read() if str(operations) == "-" else operations.read_text())
    except OSError as error:
        fail(RejectedError(f"{operations} cannot be read: {error.strerror}", code="operations.unreadable"), as_json)
    except (ValueError, RecursionError) as error:
        fail(RejectedError(f"{operations} is not JSON: {error}", code="operations.unreadable"), as_json)
    request = checked(
        Edit, as_json, backend=name, revision=revision, operations=content, author=author_of(author), reason=reason, lease=lease
    )
    _show_edited(ask(EDIT, request, as_json), as_json)


@app.command()
def alias(
    name: Name,
    alias_name: Annotated[str, typer.Argument(metavar="ALIAS", help="The role's name.", show_default=False)],
    target: Annotated[str, typer.Argument(help="VERTEX.ENDPOINT; left out, the alias is removed.")] = "",
    author: Author = "",
    reason: Reason = "",
    lease: Lease = None,
    as_json: AsJson = False,
) -> None:
    """Gives an endpoint a stable name for applications, or takes it away."""
    from thalweg.api.backends import EDIT, Edit

    operation = {"op": "set_alias", "alias": alias_name, "target": target} if target else {"op": "remove_alias", "alias": alias_name}
    request = checked(Edit, as_json, backend=name, operations=[operation], author=author_of(author), reason=reason, lease=lease)
    _show_edited(ask(EDIT, request, as_json), as_json)


def _show_edited(found: Edited, as_json: bool) -> None:
    if as_json:
        typer.echo(found.model_dump_json())
        return
    for line in found.changes:
        typer.echo(line)
    typer.echo(f"{found.backend}: revision {found.revision}" + ("" if found.changes else ", nothing to do"))
    for line in found.faults:
        typer.echo(f"  not complete: {line}")
    for line in found.warnings:
        typer.echo(f"warning: {line}", err=True)
