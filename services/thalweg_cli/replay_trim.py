"""`thalweg replay trim`: makes a small replay out of a long one, by running the graph on fewer of its records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.errors import RejectedError, ThalwegError, UsageError
from thalweg_cli.output import AsJson, fail
from thalweg_cli.replay import Which

if TYPE_CHECKING:
    from thalweg.replay.commits import Window
    from thalweg.replay.reader import Replay
    from thalweg.settings import Settings


def trim(
    which: Which,
    out: Annotated[Path, typer.Argument(help="The .mcap file to write.", show_default=False)],
    since: Annotated[
        str | None,
        typer.Option("--from", help="Event time: 2026-11-25T10:00:00Z, 10s behind the first record, or ns.", show_default=False),
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Event time, likewise; it is not in it any more.", show_default=False)] = None,
    count: Annotated[
        int | None, typer.Option("--count", help="Only so many records of each port of a source.", min=1, show_default=False)
    ] = None,
    components: Annotated[
        list[Path], typer.Option("--components", help="Releases to try, whatever is pinned: .py files, or folders of them.")
    ] = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Runs the graph on some of the recorded records, and writes the replay of that: small, whole, and the same when run again."""
    from thalweg.replay.trimming import write_trimmed
    from thalweg.settings import load_settings
    from thalweg_cli.interrupts import Interrupted
    from thalweg_cli.rerunning import Changes, run_again

    try:
        if since is None and until is None and count is None:
            raise UsageError("what is to be left of it?", code="trim.nothing", hint="--from, --to or --count")
        settings = load_settings()
        window = _window(settings, which, since, until, count)
        again = run_again(settings, which, Changes([], {}, [], [], components, None, window), as_json, "trim")
        out.parent.mkdir(parents=True, exist_ok=True)
        said = f"{again.before.about.get('deployment', '?')}: {_told(since, until, count)}"
        account = write_trimmed(out, again.after, again.spec, again.ran, said)
    except OSError as error:
        fail(RejectedError(f"{out}: {error.strerror or error}", code="replay.not_writable"), as_json)
    except ThalwegError as error:
        fail(error, as_json)
    except Interrupted as error:
        typer.echo(f"error: interrupted by {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    records = sum(one.records for one in account.subjects.values())
    if as_json:
        typer.echo(json.dumps({"path": str(out), "records": records, "size_bytes": out.stat().st_size, "complete": account.complete}))
        return
    typer.echo(f"{out}: {records:,} records, {out.stat().st_size:,} bytes")


def _window(settings: Settings, which: str, since: str | None, until: str | None, count: int | None) -> Window:
    from thalweg.replay.commits import Window
    from thalweg_cli.event_times import parse_event_time
    from thalweg_cli.replay import open_replay

    first_ns = first_event_time(open_replay(settings, which)) if since or until else 0
    times = [None if text is None else parse_event_time(text, first_ns) for text in (since, until)]
    return Window(times[0], times[1], count)


def first_event_time(replay: Replay) -> int:
    """Event time (UTC ns) of the first record of a source; 0 where there is none."""
    vertices = replay.spec.vertices if replay.spec is not None else []
    firsts = (next(replay.records(one.name, port), None) for one in vertices if not one.inputs for port in one.outputs)
    return min((one.time_ns for one in firsts if one is not None), default=0)


def _told(since: str | None, until: str | None, count: int | None) -> str:
    given = {"from": since, "to": until, "count": count}
    return ", ".join(f"{name} {value}" for name, value in given.items() if value is not None)
