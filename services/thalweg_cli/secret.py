"""`thalweg secret …`: values that only the vertices see which they are bound to."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from thalweg.errors import UsageError
from thalweg_cli.output import AsJson, Author, Lease, ask, author_of, checked, fail, show_table

app = typer.Typer(no_args_is_help=True, help="Secrets: sealed values that vertices are bound to.")
Name = Annotated[str, typer.Argument(help="The secret.", show_default=False)]


@app.command("set")
def set_secret(name: Name, author: Author = "", lease: Lease = None, as_json: AsJson = False) -> None:
    """Sets a secret; its value comes from standard input, or a prompt that does not show it."""
    from thalweg.api.secrets import SET, SetSecret

    value = _value(name, as_json)
    found = ask(SET, checked(SetSecret, as_json, name=name, value=value, author=author_of(author), lease=lease), as_json)
    typer.echo(found.model_dump_json() if as_json else f"secret {name} is set; vertices get it when they start")


@app.command("list")
def list_secrets(as_json: AsJson = False) -> None:
    """Lists secrets, never their values."""
    from rich.table import Table

    from thalweg.api.calls import Nothing
    from thalweg.api.secrets import LIST

    found = ask(LIST, Nothing(), as_json).secrets
    if as_json:
        typer.echo(json.dumps([one.model_dump() for one in found]))
        return
    table = Table("secret", "set", "by", "lease", "bound by", box=None, pad_edge=False)
    for one in found:
        at = datetime.fromtimestamp(one.time_ns // 1_000_000_000, UTC)
        table.add_row(one.name, f"{at:%Y-%m-%d %H:%M:%S}", one.author, one.lease, "\n".join(map(str, one.uses)))
    show_table(table)


@app.command()
def remove(name: Name, lease: Lease = None, as_json: AsJson = False) -> None:
    """Removes a secret that nothing is bound to."""
    from thalweg.api.secrets import REMOVE, WhichSecret

    found = ask(REMOVE, checked(WhichSecret, as_json, name=name, lease=lease), as_json)
    typer.echo(found.model_dump_json() if as_json else f"removed secret {name}")


def _value(name: str, as_json: bool) -> str:
    """What is on standard input but for the newline at its end, which an editor or `echo` has put there."""
    from thalweg.api.secrets import MAX_VALUE_BYTES

    if sys.stdin.isatty():
        value: str = typer.prompt(f"value of {name}", hide_input=True, default="", show_default=False, err=True)
        return value
    try:
        text = sys.stdin.buffer.read(MAX_VALUE_BYTES + 3).decode()  # one that is too large is refused, however large
    except UnicodeDecodeError:
        fail(UsageError("standard input: a secret is UTF-8 text", code="secret.invalid"), as_json)
    return text.removesuffix("\n").removesuffix("\r")
