"""`thalweg replay trace`: where a record comes from and what it has become."""

from __future__ import annotations

import asyncio
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.errors import RejectedError, ThalwegError
from thalweg_cli.output import AsJson, fail
from thalweg_cli.replay import Which, open_replay

if TYPE_CHECKING:
    from thalweg.replay.reader import Replay
    from thalweg.replay.tracing import Step
    from thalweg.settings import Settings

MAX_SHOWN = 120


def trace(
    which: Which,
    record: Annotated[str, typer.Argument(metavar="RECORD", help="A record's id, or VERTEX.PORT:INDEX.", show_default=False)],
    live: Annotated[bool, typer.Option("--live", help="REPLAY is a deployment: what its log has now is looked at.")] = False,
    as_json: AsJson = False,
) -> None:
    """Follows a record back to the inputs that it comes from, and forward to all that it has become."""
    from thalweg.replay.lineage import Lineage
    from thalweg.replay.tracing import find_place
    from thalweg.replay.tracing import trace as traced
    from thalweg.settings import load_settings

    try:
        with tempfile.TemporaryDirectory(prefix="thalweg-trace-") as folder:
            replay = _copied(load_settings(), which, Path(folder)) if live else open_replay(load_settings(), which)
            if replay.spec is None:
                raise RejectedError("the replay does not say what ran", code="replay.damaged")
            lineage = Lineage(replay, replay.spec)
            found = traced(replay, lineage, find_place(lineage, record))
    except ThalwegError as error:
        fail(error, as_json)
    faults = replay.faults
    if as_json:
        sides = {name: [one.as_json() for one in steps] for name, steps in (("back", found.back), ("forward", found.forward))}
        typer.echo(json.dumps({"record": found.record.as_json(), **sides, "faults": faults}, ensure_ascii=False))
        return
    for fault in faults:
        typer.echo(f"warning: the replay is incomplete: {fault}", err=True)
    for step in reversed(found.back):
        typer.echo(_line(step, "<"))
    typer.echo(_line(found.record, "="))
    for step in found.forward:
        typer.echo(_line(step, ">"))


def _copied(settings: Settings, name: str, folder: Path) -> Replay:
    """What the log of a deployment has now."""
    from thalweg.client import open_session
    from thalweg.client.log_copy import copy_log

    async def copied() -> Replay:
        async with open_session(settings) as session:
            return await copy_log(session.client, session.workspace, name, folder / "log.mcap")

    return asyncio.run(copied())


def _line(step: Step, sign: str) -> str:
    """As `<< rows.out:3 …`: so many signs as steps from the record."""
    from thalweg.replay.showing import plain

    head = f"{sign * max(step.depth, 1)} {step.vertex}"
    how = f"  ({step.how})" if step.how and not (step.is_certain and step.place is not None) else ""
    if step.place is None:
        return f"{head} [{step.release}]{how}"
    value = json.dumps(plain(step.value), ensure_ascii=False, default=str)
    shown = value if len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]}…"
    return f"{head}.{step.place.port}:{step.place.index} [{step.release}] {step.record_id:016x} {_time(step.time_ns)} {shown}{how}"


def _time(time_ns: int) -> str:
    """As UTC, unless it is an ordinal or cannot be told."""
    if not 10**15 <= time_ns < 250_000_000_000 * 10**9:
        return f"{time_ns} ns"
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
