"""How commands end: errors as people or programs read them, answers of the coordinator."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from thalweg.errors import RejectedError, ThalwegError

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.table import Table

    from thalweg.api.calls import Call

    Q = TypeVar("Q", bound=BaseModel)
    R = TypeVar("R", bound=BaseModel)

_PIPE_WIDTH = 240
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the log.")]
Lease = Annotated[
    str | None, typer.Option("--lease", envvar="THALWEG_LEASE", help="Act for this lease: it owns what is made.", show_default=False)
]
Author = Annotated[str, typer.Option("--author", help="Who; default THALWEG_AUTHOR, else the user's name.", show_default=False)]


def fail(error: ThalwegError, as_json: bool = False) -> NoReturn:
    """Prints an error as people, or programs, read it, and leaves with its exit code."""
    if as_json:
        typer.echo(json.dumps({"error": {"code": error.code, "message": str(error), "hint": error.hint, **error.facts}}))
    for line in str(error).split("\n"):
        typer.echo(line if line.startswith("  ") else f"error: {line}", err=True)
    if error.hint:
        typer.echo(f"  hint: {error.hint}", err=True)
    raise typer.Exit(error.exit_code)


def show_table(table: Table) -> None:
    """Prints a table; nothing in it is cut off: what is shown may have to be copied."""
    from rich.console import Console

    for column in table.columns:
        column.overflow = "fold"
    console = Console()
    (console if console.is_terminal else Console(width=_PIPE_WIDTH)).print(table)


def author_of(given: str) -> str:
    """Who edits."""
    try:
        return given or os.environ.get("THALWEG_AUTHOR") or getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return "unknown"


def checked(model: type[Q], as_json: bool, **fields: Any) -> Q:
    """A request out of what was given; what it refuses ends the command."""
    from pydantic import ValidationError

    from thalweg.graph.pipeline import fault_lines

    try:
        return model.model_validate(fields)
    except ValidationError as error:
        fail(RejectedError("\n".join(fault_lines(error, model)), code="request.invalid"), as_json)


def ask(call: Call[Q, R], request: Q, as_json: bool = False, timeout_s: float = 30.0) -> R:
    """Asks the coordinator of the settings' servers; what it refuses ends the command."""
    from thalweg.client import open_session
    from thalweg.settings import load_settings

    async def asked() -> R:
        async with open_session(load_settings()) as session:
            return await session.ask(call, request, timeout_s)

    try:
        return asyncio.run(asked())
    except ThalwegError as error:
        fail(error, as_json)
