"""`thalweg deploy`, `redeploy`, `undeploy` and `status`: stored backends that run."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.errors import RunFailedError, ThalwegError
from thalweg_cli.capture_options import Capture, CaptureLast, CaptureOn, CaptureSize, read_capture
from thalweg_cli.feeding import Continue, Recorded, Replace, replaced_of
from thalweg_cli.output import AsJson, Lease, ask, checked, fail, show_table
from thalweg_cli.replay_save import show_ring

if TYPE_CHECKING:
    from thalweg.api.deployments import DeploymentStatus, KeptReplay, Report, VertexStatus
    from thalweg.wire.capturing import Captured

POLL_S = 0.2
Deployment = Annotated[str, typer.Argument(help="The deployment.", show_default=False)]
Revision = Annotated[int | None, typer.Option("--revision", help="Of the backend; default: the newest.", min=0, show_default=False)]


def deploy(
    backend: Annotated[str, typer.Argument(help="The stored backend.", show_default=False)],
    name: Annotated[str | None, typer.Option("--name", help="Of the deployment; default: the backend's.", show_default=False)] = None,
    revision: Revision = None,
    capture: Capture = None,
    capture_last: CaptureLast = None,
    capture_size: CaptureSize = "1G",
    capture_on: CaptureOn = None,
    keep_log: Annotated[
        str | None,
        typer.Option("--keep-log", metavar="DURATION|COUNT", help="What the log keeps, to go back to: 10m, or 5000.", show_default=False),
    ] = None,
    replay: Recorded = None,
    replace: Replace = [],  # noqa: B006
    go_on: Continue = False,
    lease: Lease = None,
    as_json: AsJson = False,
) -> None:
    """Runs a stored backend until it is undeployed; only a complete graph is accepted."""
    from thalweg.api.deployments import DEPLOY, Deploy
    from thalweg_cli.positions import parse_keep

    try:
        kept = parse_keep(keep_log) if keep_log is not None else {}
        captured = read_capture(capture, capture_last, capture_size, capture_on)
        replaced = replaced_of(replay, replace, go_on, lease)
    except ThalwegError as error:
        fail(error, as_json)
    found = ask(
        DEPLOY,
        checked(Deploy, as_json, backend=backend, name=name, revision=revision, lease=lease, replaced=replaced, **captured, **kept),
        as_json,
    )
    if as_json:
        typer.echo(found.model_dump_json())
        return
    typer.echo(f"{found.name}: {found.backend} at revision {found.revision}, {len(found.vertices)} vertices, {found.digest[:19]}…")


def redeploy(
    name: Deployment,
    revision: Revision = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME|POSITION",
            help="Do again what was done from there on: 2026-11-25T10:00:00Z, 10m (ago), or 1234 (a position of the log).",
            show_default=False,
        ),
    ] = None,
    vertices: Annotated[
        list[str] | None,
        typer.Option("--vertex", metavar="V", help="Which vertices do; default: all that read inputs. Repeat it.", show_default=False),
    ] = None,
    replay: Recorded = None,
    replace: Replace = [],  # noqa: B006
    go_on: Continue = False,
    lease: Lease = None,
    as_json: AsJson = False,
) -> None:
    """Lets a deployment go on as another revision, or from an earlier position; vertices that do not change keep running."""
    from thalweg.api.deployments import REDEPLOY, Redeploy
    from thalweg_cli.positions import parse_start

    try:
        place = parse_start(start, time.time_ns()) if start is not None else None
        replaced = replaced_of(replay, replace, go_on, lease)
    except ThalwegError as error:
        fail(error, as_json)
    found = ask(
        REDEPLOY,
        checked(Redeploy, as_json, name=name, revision=revision, start=place, vertices=vertices or [], lease=lease, replaced=replaced),
        as_json,
    )
    if as_json:
        typer.echo(found.model_dump_json())
        return
    for one in found.changes:
        joint = " " if one.action == "goes back" else ", "
        typer.echo(f"{one.vertex}: {one.action}" + (joint + one.reason if one.reason else ""))
    typer.echo(f"{found.name}: {found.backend} at revision {found.revision}, generation {found.generation}")


def undeploy(
    name: Deployment,
    discard: Annotated[bool, typer.Option("--discard", help="Remove it at once; nothing is finished or saved.")] = False,
    lease: Lease = None,
    as_json: AsJson = False,
) -> None:
    """Ends a deployment: sources stop, what is in flight is finished, what was generated is saved, then all is removed."""
    from thalweg.api.deployments import UNDEPLOY, Undeploy

    begun = ask(UNDEPLOY, checked(Undeploy, as_json, name=name, discard=discard, lease=lease), as_json)
    try:
        report = asyncio.run(_until_gone(name, begun.deployed_ns))
    except ThalwegError as error:
        fail(error, as_json)
    if as_json:
        typer.echo(report.model_dump_json())
    else:
        show_report(report)
    if report.outcome == "failed" or (report.outcome == "finished" and report.missing):
        raise typer.Exit(RunFailedError.exit_code)


async def _until_gone(name: str, deployed_ns: int) -> Report:
    """Waits for as long as a teardown takes: it goes on without this command, too."""
    from thalweg.api.deployments import STATUS, MaybeNamed
    from thalweg.client import open_session
    from thalweg.errors import UnreachableError
    from thalweg.settings import load_settings

    async with open_session(load_settings()) as session:
        while True:
            try:
                (found,) = (await session.ask(STATUS, MaybeNamed(name=name))).deployments
            except UnreachableError:  # a coordinator that starts again
                await asyncio.sleep(1.0)
                continue
            if found.report is not None and found.report.deployed_ns == deployed_ns:
                return found.report
            if found.deployed_ns != deployed_ns:
                raise RunFailedError(f"{name} was deployed again meanwhile", code="deployment.replaced")
            await asyncio.sleep(POLL_S)


def show_captured(found: KeptReplay | Captured) -> None:
    """Prints what became of a capture; one that is not whole is never passed off as such."""
    if found.artifact is not None:
        what = "  INCOMPLETE" if not found.complete else "  window" if found.window else ""
        typer.echo(f"replay {found.artifact}  {found.size_bytes:,} bytes{what}")
    if not found.complete:
        typer.echo(f"warning: the replay is incomplete: {found.reason}", err=True)


def show_report(report: Report) -> None:
    """Prints a teardown's report."""
    for one in report.generated:
        typer.echo(f"saved {one.vertex}.{one.slot}: {one.name}  {one.size_bytes:,} bytes  {one.artifact}")
    if report.outcome == "discarded":  # nothing was to be saved, so nothing is amiss
        typer.echo(f"{report.name}: discarded" + (f"; it had failed: {report.failure}" if report.failure else ""))
        return
    for slot in report.missing:
        typer.echo(f"error: {slot}: declared, but no file was written", err=True)
    for path in report.undeclared:
        typer.echo(f"warning: {path}: written, but not declared; it is not saved", err=True)
    if report.unfinished:
        typer.echo(f"error: not finished: {', '.join(report.unfinished)}", err=True)
    if report.failure:
        typer.echo(f"error: {report.failure}", err=True)
    if report.replay is not None:
        show_captured(report.replay)
    if report.evidence:
        typer.echo(f"evidence {report.evidence}")
    typer.echo(f"{report.name}: removed")


def status(name: Annotated[str | None, typer.Argument(help="Default: all.", show_default=False)] = None, as_json: AsJson = False) -> None:
    """Shows deployments and their vertices; of one that is undeployed, what its teardown saved."""
    from thalweg.api.deployments import STATUS, MaybeNamed

    found = ask(STATUS, checked(MaybeNamed, as_json, name=name), as_json).deployments
    if as_json:
        typer.echo(json.dumps([one.model_dump() for one in found]))
        return
    if not found:
        typer.echo("nothing is deployed")
    for one in found:
        _show_status(one)


def _show_status(found: DeploymentStatus) -> None:
    from rich.table import Table

    at = f", log at #{found.position}" if found.position else ""
    told = f"{found.backend} at revision {found.revision}, generation {found.generation}"
    typer.echo(f"{found.name}: {found.state}, {told}{at}{_owner(found.lease)}" + (", current" if found.current else ""))
    if found.report is not None:
        show_report(found.report)
        return
    proves = any(one.delivered is not None for one in found.vertices)
    heads = ["  vertex", "state", "in", "out", "dead", "lag", "restarts", "watermark", *(["delivered"] if proves else []), "reason"]
    table = Table(*heads, box=None, pad_edge=False)
    for one in found.vertices:
        dead = f"{one.dead:,}" + (f" ({one.dead_open:,} open)" if one.dead_open != one.dead else "")
        counts = [f"{one.records_in:,}", f"{one.records_out:,}", dead]
        lag = "" if one.lag is None else f"{one.lag:,}"
        sent = [_delivered(one)] if proves else []
        table.add_row(f"  {one.vertex}", one.state, *counts, lag, str(one.restarts), _time(one.watermark_ns), *sent, one.reason or "")
    show_table(table)
    if found.ring is not None:
        show_ring(found.ring)


def _delivered(one: VertexStatus) -> str:
    if one.delivered is None:
        return ""
    return f"{one.delivered:,}" + (f" to {one.target}" if one.target else "")


def _owner(lease: str) -> str:
    return f", of lease {lease}" if lease else ""


def _time(time_ns: int | None) -> str:
    """Event times need not be of this world: a source without times counts from 0."""
    if time_ns is None:
        return ""
    try:
        return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"{time_ns} ns"
