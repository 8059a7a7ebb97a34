"""`thalweg lease …`: time-boxed owners of what is only tried."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.errors import RunFailedError, ThalwegError, UsageError
from thalweg_cli.durations import parse_duration_s
from thalweg_cli.output import AsJson, Author, Reason, ask, author_of, checked, fail, show_table

if TYPE_CHECKING:
    from thalweg.api.leases import Lease, Thing

POLL_S = 0.2
END_TIMEOUT_S = 120.0
app = typer.Typer(no_args_is_help=True, help="Leases: each owns what is made under it, and takes it away at its end.")
Id = Annotated[str, typer.Argument(metavar="LEASE", help="The lease's id.", show_default=False)]
Ttl = Annotated[str, typer.Option("--ttl", help="How long it is held without a renewal: 90s, 10m, 2h, 1d.", show_default=False)]


@app.command("open")
def open_lease(
    ttl: Ttl = "10m",
    note: Annotated[str, typer.Option("--note", help="What it is for.")] = "",
    author: Author = "",
    as_json: AsJson = False,
) -> None:
    """Opens a lease and prints its id: `export THALWEG_LEASE=$(thalweg lease open)` acts for it from then on."""
    from thalweg.api.leases import OPEN, Open

    found = ask(OPEN, checked(Open, as_json, author=author_of(author), note=note, ttl_s=seconds_of(ttl, as_json)), as_json)
    if as_json:
        typer.echo(found.model_dump_json())
        return
    typer.echo(found.id)
    typer.echo(f"open for {_span(found.ttl_s)}; --lease {found.id} or THALWEG_LEASE acts for it", err=True)


@app.command("list")
def list_leases(as_json: AsJson = False) -> None:
    """Lists leases: those that are open, and for ten minutes those that have ended."""
    from rich.table import Table

    from thalweg.api.calls import Nothing
    from thalweg.api.leases import LIST

    found = ask(LIST, Nothing(), as_json).leases
    if as_json:
        typer.echo(json.dumps([one.model_dump() for one in found]))
        return
    table = Table("lease", "state", "ends in", "by", "note", box=None, pad_edge=False)
    for one in found:
        table.add_row(one.id, one.state, _left(one), one.author, one.note)
    show_table(table)


@app.command()
def show(lease: Id, as_json: AsJson = False) -> None:
    """Shows what a lease owns; of one that has ended, what became of it."""
    from thalweg.api.leases import SHOW, Which

    found = ask(SHOW, checked(Which, as_json, id=lease), as_json)
    if as_json:
        typer.echo(found.model_dump_json())
        return
    one = found.lease
    left = f", ends in {_left(one)}" if one.state == "open" else ""
    typer.echo(f"{one.id}: {one.state}{left}, by {one.author}" + (f", {one.note}" if one.note else ""))
    _show_done(one)
    for thing in found.things:
        typer.echo(f"  {_name(thing)}")
    if not found.things and not one.done:
        typer.echo("  owns nothing")


@app.command()
def renew(
    lease: Id,
    ttl: Annotated[str | None, typer.Option("--ttl", help="Another time from now on.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Holds a lease from now on for its time, or another one."""
    from thalweg.api.leases import RENEW, Renew

    ttl_s = seconds_of(ttl, as_json) if ttl is not None else None
    found = ask(RENEW, checked(Renew, as_json, id=lease, ttl_s=ttl_s), as_json)
    typer.echo(found.model_dump_json() if as_json else f"{found.id}: open for {_span(found.ttl_s)}")


@app.command()
def promote(
    lease: Id,
    things: Annotated[
        list[str],
        typer.Argument(metavar="KIND:NAME…", help="As `lease show` names them: backend:b, deployment:d, file:sha256:…", show_default=False),
    ],
    as_json: AsJson = False,
) -> None:
    """Makes things of a lease the workspace's, with all that they need."""
    from thalweg.api.leases import PROMOTE, Promote

    found = ask(PROMOTE, checked(Promote, as_json, id=lease, things=things), as_json, timeout_s=END_TIMEOUT_S)
    if as_json:
        typer.echo(found.model_dump_json())
        return
    for thing in found.things:
        typer.echo(f"promoted {_name(thing)}")


@app.command()
def commit(lease: Id, reason: Reason = "", as_json: AsJson = False) -> None:
    """Ends a lease and keeps all that it owns."""
    _end("commit", lease, reason, as_json)


@app.command()
def rollback(lease: Id, reason: Reason = "", as_json: AsJson = False) -> None:
    """Ends a lease and removes all that it owns; what runs is ended at once."""
    _end("rollback", lease, reason, as_json)


def _end(how: str, lease: str, reason: str, as_json: bool) -> None:
    from thalweg.api.leases import COMMIT, ROLLBACK, End

    ask(COMMIT if how == "commit" else ROLLBACK, checked(End, as_json, id=lease, reason=reason), as_json)
    try:
        found = asyncio.run(_until_ended(lease))
    except ThalwegError as error:
        fail(error, as_json)
    if as_json:
        typer.echo(found.model_dump_json())
        return
    _show_done(found)
    typer.echo(f"{found.id}: {found.state}")


async def _until_ended(lease: str) -> Lease:
    """Goes on without this command, too."""
    from thalweg.api.leases import SHOW, Which
    from thalweg.client import open_session
    from thalweg.settings import load_settings

    deadline = time.monotonic() + END_TIMEOUT_S
    async with open_session(load_settings()) as session:
        while True:
            found = (await session.ask(SHOW, Which(id=lease))).lease
            if found.ended_ns is not None:
                return found
            if time.monotonic() > deadline:
                hint = f"it goes on; `thalweg lease show {lease}` tells how it stands"
                raise RunFailedError(f"lease {lease} is still {found.state}", code="lease.slow", hint=hint)
            await asyncio.sleep(POLL_S)


def seconds_of(text: str, as_json: bool = False) -> float:
    """A time as people write it; what is none ends the command."""
    seconds = parse_duration_s(text)
    if seconds is None:
        fail(UsageError(f"{text!r} is not a time", code="ttl.invalid", hint="as in 90s, 10m, 2h, 1d"), as_json)
    return seconds


def _show_done(lease: Lease) -> None:
    for one in lease.done:
        typer.echo(f"  {one.action} {_name(one.thing)}")
    if lease.reason:
        typer.echo(f"  because: {lease.reason}")


def _name(thing: Thing) -> str:
    return str(thing) + (f"  {thing.note}" if thing.note else "")


def _left(lease: Lease) -> str:
    return _span(max(0.0, (lease.expires_ns - time.time_ns()) / 1e9)) if lease.state == "open" else ""


def _span(seconds: float) -> str:
    for unit, size_s in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:.0f}{unit}"
    return f"{seconds:.0f}s"
