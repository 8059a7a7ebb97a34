"""`thalweg top`: rates, lag, latency, errors, restarts, memory of a deployment's vertices, again and again."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thalweg.errors import ThalwegError, UnreachableError
from thalweg_cli.output import AsJson, checked, fail, show_table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live
    from rich.table import Table

    from thalweg.api.deployments import DeploymentStatus, MaybeNamed, VertexStatus
    from thalweg.client import Session
    from thalweg.client.rates import Look, Rates

_COLUMNS = ("vertex", "state", "in/s", "out/s", "bytes/s", "lag", "latency", "dead", "errors", "restarts", "memory", "cpu")


def top(
    name: Annotated[str, typer.Argument(help="The deployment.", show_default=False)],
    interval: Annotated[float, typer.Option("--interval", help="Seconds from look to look.", min=0.1, max=3600)] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look twice, show once, end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Shows what the vertices of a deployment do, until Ctrl-C or its end."""
    from thalweg.api.deployments import MaybeNamed

    asked = checked(MaybeNamed, as_json, name=name)
    try:
        asyncio.run(_top(asked, interval, once, as_json))
    except ThalwegError as error:
        fail(error, as_json)
    except KeyboardInterrupt:
        return


async def _top(asked: MaybeNamed, interval_s: float, once: bool, as_json: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    from thalweg.client import open_session
    from thalweg.settings import load_settings

    console = Console()
    is_live = console.is_terminal and not once and not as_json
    async with open_session(load_settings()) as session:
        before = await _look(session, asked)
        with Live(console=console, auto_refresh=False) if is_live else _Plain() as live:
            while before.status.report is None:
                await asyncio.sleep(interval_s)
                try:
                    now = await _look(session, asked)
                except UnreachableError as error:  # a coordinator or a server that starts again
                    if once:
                        raise
                    typer.echo(f"{error}; looking again", err=True)
                    continue
                _show(before, now, live, as_json)
                before = now
                if once:
                    return
        if before.status.report is not None:
            typer.echo(json.dumps({"name": before.status.name, "state": "stopped"}) if as_json else f"{before.status.name}: stopped")


class _Plain:
    """In the place of a live display where there is no terminal."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


async def _look(session: Session, asked: MaybeNamed) -> Look:
    from thalweg.api.deployments import STATUS
    from thalweg.client.rates import Look

    at_s = time.monotonic()
    return Look(at_s, (await session.ask(STATUS, asked)).deployments[0])


def _show(before: Look, now: Look, live: Live | None, as_json: bool) -> None:
    from thalweg.client.rates import rates

    if now.status.report is not None:
        return
    found = rates(before, now)
    if as_json:
        typer.echo(json.dumps(_as_json(now.status, found)))
    elif live is not None:
        live.update(_page(now.status, found), refresh=True)
    else:
        typer.echo(_title(now.status))
        show_table(_table(now.status, found))


def _as_json(status: DeploymentStatus, found: dict[str, Rates]) -> dict[str, Any]:
    vertices = [{**one.model_dump(), "rates": asdict(found[one.vertex])} for one in status.vertices]
    return {**status.model_dump(exclude={"vertices", "report"}), "vertices": vertices}


def _page(status: DeploymentStatus, found: dict[str, Rates]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    return Group(Text(_title(status)), _table(status, found))


def _title(status: DeploymentStatus) -> str:
    log = f"log {_amount(status.log_bytes)}B in {status.log_messages:,} messages"
    return f"{status.name}: {status.state}, revision {status.revision}, generation {status.generation}, {log}"


def _table(status: DeploymentStatus, found: dict[str, Rates]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in _COLUMNS:
        table.add_column(title, justify="left" if title in ("vertex", "state") else "right", no_wrap=title != "vertex")
    for one in status.vertices:
        table.add_row(one.vertex, *_cells(one, found[one.vertex]))
    return table


def _cells(one: VertexStatus, rate: Rates) -> list[str]:
    return [
        one.state,
        _amount(rate.records_in),
        _amount(rate.records_out),
        _amount(rate.bytes_out),
        "" if one.lag is None else f"{one.lag:,}",
        _seconds(one.waiting_s or one.latency_s),
        f"{one.dead:,}",
        f"{one.errors:,}",
        str(one.restarts),
        "" if one.memory_bytes is None else f"{_amount(one.memory_bytes)}B",
        "" if rate.cpu is None else f"{rate.cpu:.0%}",
    ]


def _amount(value: float) -> str:
    """A number in few characters: 950, 1.2k, 34M."""
    for unit in ("", "k", "M", "G", "T"):
        if value < 999.5 or unit == "T":
            return f"{value:.1f}{unit}" if 0 < value < 9.95 else f"{value:.0f}{unit}"
        value /= 1000
    return ""


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 100 else f"{value / 60:.0f} min"
