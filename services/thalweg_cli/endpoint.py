"""`thalweg endpoint …`: where records enter and leave running graphs, and the tokens that open these places."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg_cli.output import AsJson, Lease, ask, checked, show_table

if TYPE_CHECKING:
    from thalweg.api.endpoints import EndpointInfo

app = typer.Typer(no_args_is_help=True, help="Endpoints: URLs, subjects and tokens of running graphs.")
Backend = Annotated[str, typer.Argument(help="The stored backend.", show_default=False)]
Name = Annotated[str, typer.Argument(help="VERTEX.ENDPOINT, or an alias.", show_default=False)]


@app.command("list")
def list_endpoints(
    backend: Annotated[str | None, typer.Argument(help="Default: all.", show_default=False)] = None, as_json: AsJson = False
) -> None:
    """Lists endpoints and where they lead."""
    from rich.table import Table

    from thalweg.api.endpoints import LIST, MaybeOfBackend

    found = ask(LIST, checked(MaybeOfBackend, as_json, backend=backend), as_json).endpoints
    if as_json:
        typer.echo(json.dumps([one.model_dump() for one in found]))
        return
    table = Table("backend", "endpoint", "side", "URL", "deployment", "tokens", box=None, pad_edge=False)
    for one in found:
        table.add_row(one.backend, one.name, one.side, _url(one), one.deployment or "", str(len(one.tokens)))
    show_table(table)


@app.command()
def show(backend: Backend, name: Name, as_json: AsJson = False) -> None:
    """Shows one endpoint: URL, subject, type, aliases, when its tokens were made and until when they are valid."""
    from thalweg.api.endpoints import SHOW, WhichEndpoint

    found = ask(SHOW, checked(WhichEndpoint, as_json, backend=backend, name=name), as_json)
    typer.echo(found.model_dump_json()) if as_json else _show(found)


@app.command()
def rotate(
    backend: Backend,
    name: Name,
    grace_s: Annotated[float, typer.Option("--grace", help="Seconds for which former tokens stay valid.", min=0)] = 3600.0,
    lease: Lease = None,
    as_json: AsJson = False,
) -> None:
    """Makes a new token and prints it; it is shown this once, and only its hash is kept."""
    from thalweg.api.endpoints import ROTATE, Rotate

    found = ask(ROTATE, checked(Rotate, as_json, backend=backend, name=name, grace_s=grace_s, lease=lease), as_json)
    typer.echo(found.model_dump_json() if as_json else found.token)


def _show(found: EndpointInfo) -> None:
    rows = {
        "URL": _url(found),
        "aliases": ", ".join(f"/a/{found.backend}/{alias}" for alias in found.aliases),
        "subject": found.subject,
        "type": found.type,
        "deployment": found.deployment or "none now",
    }
    typer.echo(f"{found.backend} {found.name}: records {'go in' if found.side == 'in' else 'come out'}")
    for label, value in rows.items():
        if value:
            typer.echo(f"  {label}: {value}")
    for token in found.tokens:
        until = f", valid until {_time(token.expires_ns)}" if token.expires_ns is not None else ""
        typer.echo(f"  token of {_time(token.created_ns)}{until}")
    if not found.tokens:
        typer.echo(f"  no token yet: thalweg endpoint rotate {found.backend} {found.name}")


def _url(found: EndpointInfo) -> str:
    from thalweg.settings import load_settings

    return (load_settings().http_url or "").rstrip("/") + found.path


def _time(time_ns: int) -> str:
    return f"{datetime.fromtimestamp(time_ns // 1_000_000_000, UTC):%Y-%m-%d %H:%M:%S}Z"
