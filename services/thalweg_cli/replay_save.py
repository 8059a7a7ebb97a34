"""`thalweg replay save`: saves the last part of a deployment that runs; how such parts are shown."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.errors import RejectedError, RunFailedError, ThalwegError
from thalweg_cli.output import AsJson, checked, fail

if TYPE_CHECKING:
    from thalweg.api.deployments import KeptWindow, RingStatus
    from thalweg.settings import Settings

POLL_S = 0.1


def save(
    name: Annotated[str, typer.Argument(help="The deployment.", show_default=False)],
    out: Annotated[Path | None, typer.Option("--out", help="Also write it to this .mcap file.", show_default=False)] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to wait for it.", min=1, max=3600)] = 120.0,
    as_json: AsJson = False,
) -> None:
    """Saves what `deploy --capture-last` has kept of a deployment, as a replay."""
    from thalweg.api.replays import Save
    from thalweg.settings import load_settings

    settings, asked = load_settings(), checked(Save, as_json, name=name)
    try:
        found, lease = asyncio.run(_saved(settings, asked.name, timeout_s))
        if found.captured.artifact is None:
            raise RunFailedError(f"{name}: {found.captured.reason}", code="replay.not_saved")
        if out is not None:
            _write(settings, lease, found.captured.artifact, out)
    except OSError as error:
        fail(RejectedError(f"{out}: {error.strerror or error}", code="replay.not_writable"), as_json)
    except ThalwegError as error:
        fail(error, as_json)
    if as_json:
        typer.echo(found.model_dump_json())
        return
    typer.echo(f"replay {found.captured.artifact}  {found.captured.size_bytes:,} bytes")
    typer.echo(what_it_is(found))


async def _saved(settings: Settings, name: str, timeout_s: float) -> tuple[KeptWindow, str]:
    """The window, and the lease that it belongs to."""
    from thalweg.api.replays import SAVE, SAVED, Save
    from thalweg.bus.deployments import load_deployment
    from thalweg.client import open_session

    async with open_session(settings) as session:
        lease = (await load_deployment(session.client, session.workspace, name)).lease
        asked = await session.ask(SAVE, Save(name=name))
        try:
            async with asyncio.timeout(timeout_s):
                while (found := (await session.ask(SAVED, asked)).window) is None:  # noqa: ASYNC110
                    await asyncio.sleep(POLL_S)
                return found, lease
        except TimeoutError:
            hint = "it may still be: `thalweg replay list`"
            raise RunFailedError(f"{name}: nothing was saved in {timeout_s:g} s", code="replay.not_saved", hint=hint) from None


def _write(settings: Settings, lease: str, artifact: str, out: Path) -> None:
    """Raises OSError: it cannot be written."""
    from thalweg.artifacts import Store
    from thalweg_cli.first_difference import FILE_NAME

    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial")
    shutil.copyfile(Store.of(settings, lease).fetch(artifact, FILE_NAME), partial)
    partial.replace(out)


def what_it_is(found: KeptWindow) -> str:
    """A window, for people."""
    said = f"window: messages {found.first:,} to {found.last:,} of the log, {span(found.from_ns, found.to_ns)}"
    return said if found.captured.complete else f"{said}; INCOMPLETE: {found.captured.reason}"


def span(from_ns: int, to_ns: int) -> str:
    """A stretch of time, for people."""
    return f"{_time(from_ns)} to {_time(to_ns)} ({(to_ns - from_ns) / 1e9:,.1f} s)"


def _time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def show_ring(ring: RingStatus) -> None:
    """Prints the last part of a log as it is kept, and what was saved of it."""
    if ring.failing is not None:
        typer.echo(f"warning: the last part is not kept any more: {ring.failing}", err=True)
    on = f", saved on {', '.join(ring.triggers)}" if ring.triggers else ""
    kept = (
        f"#{ring.first} to #{ring.last}, {(ring.to_ns - ring.from_ns) / 1e9:,.0f} s, {ring.size_bytes:,} bytes"
        if ring.last
        else "nothing yet"
    )
    typer.echo(f"  the last {ring.last_s:g} s are kept: {kept}{on}")
    for one in ring.saved:
        typer.echo(f"  window {one.id}: {one.captured.artifact or one.captured.reason}  {one.cause}")
    if ring.passed_over:
        typer.echo(f"  {ring.passed_over:,} times nothing was saved, within a minute of the last time")
