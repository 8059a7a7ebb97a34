"""`thalweg dead-letters …`: records that vertices have kept aside, looked at, given again, dropped, saved."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from thalweg.errors import RejectedError, ThalwegError, UnreachableError, UsageError
from thalweg_cli.output import AsJson, Lease, ask, checked, fail, show_table

if TYPE_CHECKING:
    from thalweg.client import Session
    from thalweg.client.dead_letters import OpenLetter
    from thalweg.wire.spec import DeploymentSpec

R = TypeVar("R")
MAX_LISTED, MAX_ERROR = 10_000, 100
app = typer.Typer(no_args_is_help=True, help="Records that vertices have kept aside (on_error: dead-letter).")
Deployment = Annotated[str, typer.Argument(help="The deployment.", show_default=False)]
Vertex = Annotated[str, typer.Argument(help="The vertex that has refused them.", show_default=False)]
Indexes = Annotated[
    list[str] | None, typer.Option("--index", metavar="SEQ:INDEX", help="Which one, as `list` shows it. Repeat it.", show_default=False)
]
All = Annotated[bool, typer.Option("--all", help="All that are open.")]


@app.command("list")
def list_letters(
    name: Deployment,
    vertex: Annotated[str | None, typer.Argument(help="Default: all.", show_default=False)] = None,
    limit: Annotated[int, typer.Option("--limit", help="Of each vertex, at most so many.", min=1, max=MAX_LISTED)] = 100,
    as_json: AsJson = False,
) -> None:
    """Lists dead letters about which nothing was done yet, oldest first."""
    from rich.table import Table

    async def read(session: Session, spec: DeploymentSpec) -> list[OpenLetter]:
        seen: dict[str, int] = {}
        found = []
        async for one in _open(session, spec, vertex):
            seen[one.vertex] = seen.get(one.vertex, 0) + 1
            if seen[one.vertex] <= limit:
                found.append(one)
        return found

    found = _look(name, read, as_json)
    if as_json:
        typer.echo(json.dumps([_facts(one) for one in found], ensure_ascii=False))
        return
    if not found:
        typer.echo("no dead letters are open")
        return
    table = Table("vertex", "index", "stored", "where", "code", "error", box=None, pad_edge=False)
    for one in found:
        error = one.letter.error.removeprefix(f"{one.letter.where}: ")
        table.add_row(one.vertex, one.place, _time(one.time_ns), one.letter.where, one.letter.code, error[:MAX_ERROR])
    show_table(table)


@app.command()
def show(
    name: Deployment,
    vertex: Vertex,
    index: Annotated[str, typer.Argument(metavar="SEQ:INDEX", help="As `list` shows it.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Shows one: its record, without secrets, and why it was refused."""
    facts = _read_one(name, vertex, index, as_json)
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    for key, value in facts.items():
        shown = json.dumps(value, ensure_ascii=False, indent=2) if key == "value" else value
        typer.echo(f"{key}: {_time(value) if key == 'stored_ns' else shown}")
    if not facts["whole"]:
        typer.echo("warning: the record is not kept whole; it can be given again only as another one (--edit)", err=True)


@app.command()
def redrive(
    name: Deployment,
    vertex: Vertex,
    index: Indexes = None,
    every: All = False,
    edit: Annotated[bool, typer.Option("--edit", help="Edit the record first, in $VISUAL or $EDITOR. Of one letter.")] = False,
    lease: Lease = None,
    as_json: AsJson = False,
) -> None:
    """Gives dead letters again to the vertex that refused them, each exactly once."""
    more: dict[str, Any] = {}
    if edit:
        if every or len(index or []) != 1:
            fail(UsageError("--edit is of one letter", code="dead_letters.edit", hint="--index SEQ:INDEX"), as_json)
        edited = _edited(_read_one(name, vertex, (index or [""])[0], as_json)["value"], as_json)
        if edited is None:
            typer.echo("nothing was changed, and nothing is given again", err=True)
            raise typer.Exit(2)
        more = {"value": edited[0], "has_value": True}
    _settle("redrive", name, vertex, index, every, lease, as_json, **more)


@app.command()
def drop(name: Deployment, vertex: Vertex, index: Indexes = None, every: All = False, lease: Lease = None, as_json: AsJson = False) -> None:
    """Gives dead letters up: they are removed from the log."""
    _settle("drop", name, vertex, index, every, lease, as_json)


@app.command()
def export(
    name: Deployment,
    vertex: Vertex,
    file: Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="A new file; - is standard output.", show_default=False)],
    values: Annotated[bool, typer.Option("--values", help="The records alone, as jsonl-source reads them.")] = False,
) -> None:
    """Saves open dead letters as JSON lines, to feed them into a new run."""
    from thalweg.client.dead_letters import value_as_json, vertices_named

    async def write(session: Session, spec: DeploymentSpec) -> tuple[int, int]:
        mine, count, left = vertices_named(spec, vertex)[0], 0, 0
        with nullcontext(sys.stdout) if str(file) == "-" else file.open("x", encoding="utf-8") as out:
            async for one in _open(session, spec, vertex):
                if values and not one.letter.whole:
                    left += 1
                    continue
                value = value_as_json(mine, one.letter)
                out.write(json.dumps(value if values else {**_facts(one), "value": value}, ensure_ascii=False) + "\n")
                count += 1
        return count, left

    try:
        count, left = _look(name, write, False)
    except OSError as error:
        fail(RejectedError(f"{file}: {error.strerror or error}", code="file.unwritable"))
    typer.echo(f"{count:,} dead letters saved" + (f"; {left:,} left out, whose records are not kept whole" if left else ""), err=True)


def _settle(
    action: str, name: str, vertex: str, index: list[str] | None, every: bool, lease: str | None, as_json: bool, **more: Any
) -> None:
    from thalweg.api.dead_letters import SETTLE, SETTLE_TIMEOUT_S, Settle

    if bool(index) == every:
        fail(UsageError("which letters?", code="dead_letters.which", hint="--index SEQ:INDEX, or --all"), as_json)
    try:
        letters = [dict(zip(("sequence", "index"), _place(one), strict=True)) for one in index or []]
    except UsageError as error:
        fail(error, as_json)
    request = checked(Settle, as_json, name=name, vertex=vertex, action=action, letters=letters, lease=lease, **more)
    done = ask(SETTLE, request, as_json, SETTLE_TIMEOUT_S)
    if as_json:
        typer.echo(done.model_dump_json())
        return
    what = "given again to" if action == "redrive" else "dropped from"
    typer.echo(f"{done.done:,} {what} {vertex}" + (f"; {done.left:,} left, whose records are not kept whole" if done.left else ""))


def _read_one(name: str, vertex: str, index: str, as_json: bool) -> dict[str, Any]:
    from thalweg.client.dead_letters import value_as_json, vertex_named

    try:
        sequence, number = _place(index)
    except UsageError as error:
        fail(error, as_json)

    async def read(session: Session, spec: DeploymentSpec) -> dict[str, Any]:
        mine = vertex_named(spec, vertex)
        async for one in _open(session, spec, vertex):
            if (one.sequence, one.index) == (sequence, number):
                return {**_facts(one), "value": value_as_json(mine, one.letter)}
        hint = "`thalweg dead-letters list` shows those that are open"
        raise RejectedError(f"{vertex} has no open dead letter {sequence}:{number}", code="dead_letters.unknown", hint=hint)

    return _look(name, read, as_json)


def _edited(value: Any, as_json: bool) -> tuple[Any] | None:
    """The value as a person has changed it; None where it was left as it is."""
    import click

    text = click.edit(json.dumps(value, ensure_ascii=False, indent=2) + "\n", extension=".json")
    if text is None:
        return None
    try:
        return (json.loads(text),)
    except ValueError as error:
        fail(RejectedError(f"this is no JSON: {error}", code="dead_letters.value", hint="nothing was given again"), as_json)


def _look(name: str, read: Callable[[Session, DeploymentSpec], Coroutine[Any, Any, R]], as_json: bool) -> R:
    from thalweg.bus.connection import NatsError
    from thalweg.bus.deployments import load_deployment
    from thalweg.client import open_session
    from thalweg.settings import load_settings

    async def looked() -> R:
        async with open_session(load_settings()) as session:
            return await read(session, await load_deployment(session.client, session.workspace, name))

    try:
        return asyncio.run(looked())
    except ThalwegError as error:
        fail(error, as_json)
    except (NatsError, TimeoutError) as error:
        fail(UnreachableError(f"NATS does not answer: {type(error).__name__}", code="nats.unreachable"), as_json)


async def _open(session: Session, spec: DeploymentSpec, vertex: str | None) -> AsyncIterator[OpenLetter]:
    from thalweg.client.dead_letters import open_letters, vertices_named

    wanted = vertices_named(spec, vertex) if vertex is not None else spec.vertices
    async for one in open_letters(session.client, spec, wanted):
        yield one


def _facts(one: OpenLetter) -> dict[str, Any]:
    letter = one.letter
    return {
        "vertex": one.vertex,
        "index": one.place,
        "stored_ns": one.time_ns,
        "id": f"{letter.id:016x}",
        "time_ns": letter.time,
        "port": letter.port,
        "where": letter.where,
        "code": letter.code,
        "error": letter.error,
        "whole": letter.whole,
    }


def _place(text: str) -> tuple[int, int]:
    sequence, _, index = text.partition(":")
    if not sequence.isdecimal() or not (index or "0").isdecimal() or len(text) > 30:
        raise UsageError(
            f"{text[:40]!r} is no dead letter", code="dead_letters.index", hint="SEQ:INDEX, as `thalweg dead-letters list` shows"
        )
    return int(sequence), int(index or "0")


def _time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
