"""`thalweg keys …`: keys of NATS, credentials of the services of a workspace, certificates."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thalweg.errors import ThalwegError
from thalweg_cli.output import AsJson, fail, show_table

if TYPE_CHECKING:
    from thalweg.access.keys import KeyFolder

app = typer.Typer(no_args_is_help=True, help="Keys of NATS: who is let in, and may do what.")
Folder = Annotated[Path, typer.Argument(help="The folder of keys.", show_default=False)]
ServerPath = Annotated[
    Path | None, typer.Option("--server-path", help="The folder as the server sees it, where that is another one.", show_default=False)
]


@app.command()
def init(
    folder: Folder,
    workspace: Annotated[list[str], typer.Option("--workspace", help="May be repeated; default: default.", show_default=False)] = [],
    host: Annotated[
        list[str], typer.Option("--host", help="Name or address of the server; may be repeated. Default: this machine.", show_default=False)
    ] = [],
    server_path: ServerPath = None,
    as_json: AsJson = False,
) -> None:
    """Makes keys, credentials and certificates, and what nats-server has to include; what is there stays."""
    _make(folder, workspace or ["default"], host, server_path, as_json)


@app.command("workspace")
def add_workspace(folder: Folder, name: Annotated[str, typer.Argument(help="Of the new workspace.")], as_json: AsJson = False) -> None:
    """Adds a workspace; the server is then to be told to reload."""
    from thalweg.errors import RejectedError

    if not folder.is_dir():
        hint = "`thalweg keys init` makes one"
        fail(RejectedError(f"{folder} is not a folder of keys", code="keys.unknown", hint=hint), as_json)
    _make(folder, [name], [], None, as_json)


@app.command()
def show(folder: Folder, as_json: AsJson = False) -> None:
    """Shows what there is and until when it is good; never a key."""
    from rich.table import Table

    try:
        rows = _rows(_folder(folder))
    except ThalwegError as error:
        fail(error, as_json)
    if as_json:
        typer.echo(json.dumps(rows))
        return
    table = Table("file", "what", "good until", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row["file"], row["what"], row["expires"] or "")
    show_table(table)


@app.command()
def revoke(
    folder: Folder,
    name: Annotated[str, typer.Argument(help="The workspace.")],
    of: Annotated[
        list[str], typer.Option("--of", help="vertices (the gateway, too), programs or records (coordinators, clients); may be repeated.")
    ] = ["vertices", "programs"],
    as_json: AsJson = False,
) -> None:
    """All credentials issued until now are no good once the server is told to reload; those of services are made anew."""
    from thalweg.access.accounts import ACCOUNTS
    from thalweg.errors import UsageError

    wanted = [one for one in ACCOUNTS if one in of]
    try:
        if unknown := sorted({*of} - {*ACCOUNTS}):
            raise UsageError(f"--of: there is no {unknown[0]}", code="keys.unknown", hint=f"one of {', '.join(ACCOUNTS)}")
        made = _folder(folder).revoke(name, wanted)
    except ThalwegError as error:
        fail(error, as_json)
    _tell(made, as_json)
    if not as_json:
        typer.echo(f"revoked: {', '.join(wanted)} of {name}; in force once nats-server reloads (`nats-server --signal reload`)")


def _make(folder: Path, workspaces: list[str], hosts: list[str], server_path: Path | None, as_json: bool) -> None:
    try:
        made = _folder(folder).make(workspaces, hosts, server_path)
    except ThalwegError as error:
        fail(error, as_json)
    _tell(made, as_json)
    if not as_json:
        typer.echo(f"nats-server is to `include {folder / 'nats.conf'}`")


def _tell(made: list[Path], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"made": [str(path) for path in made]}))
        return
    for path in made:
        typer.echo(f"made {path}")
    if not made:
        typer.echo("everything was there already")


def _folder(folder: Path) -> KeyFolder:
    from thalweg.access.keys import KeyFolder

    return KeyFolder(folder)


def _rows(keys: KeyFolder) -> list[dict[str, Any]]:
    from thalweg.access.credentials import Credentials
    from thalweg.access.keys import ROLES
    from thalweg.errors import RejectedError
    from thalweg.sealed.certificates import expires, hosts_of

    rows: list[dict[str, Any]] = []
    for name, what in (("ca.pem", "authority"), ("server.pem", "certificate of the server")):
        path = keys.folder / name
        if not path.exists():
            raise RejectedError(f"{keys.folder} is not a folder of keys", code="keys.unknown", hint="`thalweg keys init` makes one")
        pem = path.read_bytes()
        hosts = f": {', '.join(hosts_of(pem))}" if name == "server.pem" else ""
        rows.append({"file": name, "what": what + hosts, "expires": _day(expires(pem))})
    for workspace in keys.workspaces():
        for role in ROLES:
            path = keys.credentials(workspace, role)
            if path.exists():
                found = Credentials.load(path)
                until = _day(datetime.fromtimestamp(found.expires_s, UTC)) if found.expires_s is not None else None
                rows.append({"file": f"{workspace}/{path.name}", "what": f"credentials of the {role} of {workspace}", "expires": until})
    return rows


def _day(time: datetime) -> str:
    return f"{time:%Y-%m-%d}"
