"""`thalweg replay …`: runs that were captured, and whether what was captured is whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thalweg.errors import RejectedError, ThalwegError, UsageError
from thalweg_cli.output import AsJson, ask, fail, show_table

if TYPE_CHECKING:
    from thalweg.replay.reader import Replay
    from thalweg.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Runs that were captured, as MCAP files.")
_DIGITS = 16
Which = Annotated[
    str, typer.Argument(metavar="REPLAY", help="An .mcap file, an artifact id, or evidence by id or file.", show_default=False)
]


@app.command("list")
def list_replays(as_json: AsJson = False) -> None:
    """Lists the replays that the coordinator's evidence names, and windows of runs, oldest first."""
    from rich.table import Table

    from thalweg.api.calls import Nothing
    from thalweg.api.replays import LIST

    found = ask(LIST, Nothing(), as_json).replays
    if as_json:
        typer.echo(json.dumps([one.model_dump() for one in found]))
        return
    table = Table("evidence", "deployment", "replay", "bytes", "is", box=None, pad_edge=False)
    for one in found:
        what = f"INCOMPLETE: {one.reason}" if not one.complete else "window" if one.window else "complete"
        what += f": {one.cause}" if one.cause and one.complete else ""
        table.add_row(one.evidence or "-", one.deployment, one.artifact or "none", f"{one.size_bytes:,}", what)
    show_table(table)


@app.command()
def show(
    which: Which,
    as_json: AsJson = False,
) -> None:
    """Reads a replay, and shows what it has and whether that is all of it."""
    from thalweg.settings import load_settings

    try:
        found = describe(open_replay(load_settings(), which))
    except ThalwegError as error:
        fail(error, as_json)
    if as_json:
        typer.echo(json.dumps(found))
        return
    _show(found)


@app.command()
def export(
    which: Which,
    out: Annotated[Path | None, typer.Argument(help="The file to write; likewise --to.", show_default=False)] = None,
    ports: Annotated[list[str], typer.Option("--port", help="VERTEX.PORT; may be repeated. Default: all that were captured.")] = [],  # noqa: B006
    to: Annotated[
        Path | None,
        typer.Option("--to", help="The file: .mcap; of one port .jsonl, .csv, .parquet, .wav, .mp4, or a directory.", show_default=False),
    ] = None,
    by_stored: Annotated[bool, typer.Option("--stored", help="Order by when records were stored, not by their event times.")] = False,
    as_json: AsJson = False,
) -> None:
    """Writes an MCAP file for viewers, a JSON message for each record; or the records of one port as a file by its ending."""
    from thalweg.settings import load_settings

    path = out or to
    try:
        if path is None or (out is not None and to is not None):
            raise UsageError("which file is to be written?", code="export.no_file", hint="thalweg replay export REPLAY FILE")
        replay = open_replay(load_settings(), which)
        count = _write(replay, path, _ports(replay, ports), by_event_time=not by_stored)
    except OSError as error:
        fail(RejectedError(f"{path}: {error.strerror or error}", code="replay.not_writable"), as_json)
    except ThalwegError as error:
        fail(error, as_json)
    reason = (replay.completeness.reason if replay.completeness is not None else None) or "it is damaged"
    faults = [] if replay.is_complete else replay.faults or [reason]
    if as_json:
        typer.echo(json.dumps({"path": str(path), "records": count, "complete": replay.is_complete, "faults": faults}))
        return
    for fault in faults:
        typer.echo(f"warning: the replay is incomplete: {fault}", err=True)
    typer.echo(f"{path}: {count:,} records")


def _write(replay: Replay, path: Path, ports: list[tuple[str, str]], *, by_event_time: bool) -> int:
    from thalweg.replay.export import Exporter
    from thalweg_cli.exporting import MCAP, check_ending, write_port

    check_ending(path)
    if path.suffix.lower() == MCAP:
        return Exporter(replay, by_event_time=by_event_time).write(path, ports)
    if len(ports) != 1:
        there = ", ".join(f"{vertex}.{port}" for vertex, port in ports)
        raise UsageError(f"{path} takes the records of one port", code="export.several_ports", hint=f"--port names one of {there}")
    return write_port(replay, *ports[0], path)


def _ports(replay: Replay, given: list[str]) -> list[tuple[str, str]]:
    from thalweg.replay.compare import upstream_first
    from thalweg.wire.capturing import captured_ports

    if replay.spec is None:
        raise RejectedError("the replay does not say what ran", code="replay.damaged")
    there = [one for one in upstream_first(replay.spec) if one in captured_ports(replay.spec)]
    names = {f"{vertex}.{port}": (vertex, port) for vertex, port in there}
    for name in given:
        if name not in names:
            hint = f"there are {', '.join(names) or 'none'}"
            raise RejectedError(f"{name} was not captured", code="port.unknown", hint=hint)
    return [names[name] for name in given] or there


def open_replay(settings: Settings, which: str) -> Replay:
    """A replay by whatever names it; brings up the servers of the data folder where none are given. Blocking.

    Raises:
        RejectedError: there is none (`replay.unknown`), or it is none (`replay.unreadable`).
        UnreachableError: a server does not answer.
    """
    from thalweg.artifacts import Store
    from thalweg.replay.format import MAGIC
    from thalweg.replay.reader import Replay
    from thalweg_cli.first_difference import FILE_NAME, replay_of
    from thalweg_cli.proving import read_evidence
    from thalweg_cli.servers import servers_of_data

    path = Path(which)
    if path.is_file() and (path.suffix == ".mcap" or path.open("rb").read(len(MAGIC)) == MAGIC):
        return Replay(path)
    settings = settings.model_copy(update={"data": settings.data.resolve()})
    artifact: str | None = which
    if not which.startswith("sha256:"):
        document, _ = read_evidence(settings, which, "")
        artifact = replay_of(document)
    if artifact is None:
        raise RejectedError(f"{which} names no replay: the run was not captured", code="replay.unknown")
    with servers_of_data(settings) as ready:
        return Replay(Store.of(ready).fetch(artifact, FILE_NAME))


def describe(replay: Replay) -> dict[str, Any]:
    """What a replay has, as JSON values; reads all of it."""
    import msgspec

    from thalweg.replay.proof import evidence_faults

    is_whole, account, told = replay.verify(), replay.completeness, replay.account
    if is_whole and told is not None:
        replay.faults.extend(f"its evidence does not fit: {line}" for line in evidence_faults(replay, told))
    return {
        "complete": is_whole and replay.is_complete,
        "evidence": {name: told.get(name) for name in ("verdict", "not_deterministic")} if told is not None else None,
        "window": msgspec.to_builtins(account.window) if account is not None and account.window is not None else None,
        "reason": account.reason if account is not None else None,
        "faults": replay.faults,
        "about": replay.about,
        "subjects": {} if account is None else {subject: msgspec.to_builtins(one) for subject, one in account.subjects.items()},
        "first": account.first if account is not None else None,
        "last": account.last if account is not None else None,
        "gap_count": account.gap_count if account is not None else None,
        "gaps": account.gaps if account is not None else [],
    }


def _show(found: dict[str, Any]) -> None:
    from rich.table import Table

    about = found["about"]
    typer.echo(f"{about.get('deployment', '?')} of {about.get('backend', '?')}, captured: {about.get('capture', '?')}")
    if "trimmed" in about:
        typer.echo(f"trimmed from a longer one, {about['trimmed']}")
    if (evidence := found["evidence"]) is not None:
        typer.echo(f"the evidence in it: {evidence['verdict']}, not signed yet when the file was closed")
    table = Table("  subject", "messages", "records", "first", "last", "digest", box=None, pad_edge=False)
    for subject, one in found["subjects"].items():
        short = subject.split(".", 3)[-1]
        numbers = [f"{one[name]:,}" for name in ("messages", "records")]
        table.add_row(f"  {short}", *numbers, str(one["first"]), str(one["last"]), one["digest"][:_DIGITS])
    show_table(table)
    for fault in found["faults"]:
        typer.echo(f"error: {fault}", err=True)
    for first, last in found["gaps"]:
        typer.echo(f"error: messages {first} to {last} of the log are missing", err=True)
    if not found["complete"]:
        typer.echo(f"INCOMPLETE: {found['reason'] or 'it is damaged'}")
    elif found["window"]:
        typer.echo(_window(found, found["window"]))
    else:
        typer.echo("complete")


def _window(found: dict[str, Any], window: dict[str, Any]) -> str:
    from thalweg_cli.replay_save import span

    of = f"messages {found['first']:,} to {found['last']:,} of the log, {span(window['from_ns'], window['to_ns'])}"
    return f"window: {of}, of the last {window['last_s']:g} s wanted; saved: {window['cause']}"
