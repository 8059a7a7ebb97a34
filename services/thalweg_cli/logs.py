"""`thalweg logs`: the log records of a deployment, old ones and those to come."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.errors import RejectedError, ThalwegError, UnreachableError, UsageError
from thalweg_cli.output import AsJson, fail

if TYPE_CHECKING:
    from thalweg.client.logs import Which
    from thalweg.settings import Settings
    from thalweg.wire.log_record import LogRecord

LINES = 100
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(?:\d{1,9}(?:ms|s|m|h|d))+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # what would move a terminal's cursor, or worse; not tabs and line ends
_COLOURS = {"debug": "bright_black", "warning": "yellow", "error": "red", "critical": "red"}


def logs(
    name: Annotated[str, typer.Argument(help="The deployment; it may have been undeployed.", show_default=False)],
    vertex: Annotated[str | None, typer.Argument(help="Default: all vertices.", show_default=False)] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as records come, until Ctrl-C.")] = False,
    lines: Annotated[
        int | None, typer.Option("-n", "--lines", help=f"At most so many old records; default {LINES}, or all with --since.", min=0)
    ] = None,
    level: Annotated[str, typer.Option("--level", help="The lowest: debug, info, warning, error, critical.")] = "debug",
    since: Annotated[str, typer.Option("--since", help="How long ago (90s, 10m, 1h30m, 2d), or a time (ISO 8601; UTC).")] = "",
    as_json: AsJson = False,
) -> None:
    """Shows what vertices have logged and printed, from any machine; without a server, what the data folder has."""
    from thalweg.graph.fields import is_name
    from thalweg.settings import load_settings
    from thalweg_cli.log_files import show_files

    try:
        for given in (name, *([vertex] if vertex is not None else [])):
            if not is_name(given):
                hint = "1 to 63 letters, digits, '-' or '_', first a letter or digit"
                raise RejectedError(f"{given!r} is not a name", code="name.invalid", hint=hint)
        settings, begin = load_settings(), parse_since(since, datetime.now(UTC)) if since else None
        if settings.nats_url is not None:
            asyncio.run(_show(settings, _which(name, vertex, level, begin, lines), follow, as_json))
            return
        if as_json or begin is not None or level != "debug":
            what = "--json, --level and --since need a server: the files of the data folder are plain text"
            raise UsageError(what, code="logs.files_only", hint="THALWEG_NATS_URL says where one is; `thalweg up` prints it")
        show_files(settings.data / "logs" / name, vertex, follow=follow, lines=LINES if lines is None else lines)
    except ThalwegError as error:
        fail(error, as_json)
    except KeyboardInterrupt:
        return


def _which(name: str, vertex: str | None, level: str, since: datetime | None, lines: int | None) -> Which:
    from thalweg.client.logs import Which
    from thalweg.wire.log_record import LEVELS

    found = next((one for one in LEVELS if one == level.lower()), None)
    if found is None:
        raise UsageError(f"--level {level}: not a level", code="level.invalid", hint=f"one of {', '.join(LEVELS)}")
    return Which(name, vertex, found, since, LINES if lines is None and since is None else lines)


async def _show(settings: Settings, which: Which, follow: bool, as_json: bool) -> None:
    from thalweg.bus.connection import NatsError
    from thalweg.client import open_session
    from thalweg.client.logs import records

    async with open_session(settings) as session:
        try:
            async for record in records(session.client, session.workspace, which, follow=follow):
                typer.echo(_json(record) if as_json else show_line(record))
        except (NatsError, OSError, TimeoutError) as error:
            raise UnreachableError(f"NATS does not answer: {type(error).__name__}", code="nats.unreachable") from error


def _json(record: LogRecord) -> str:
    import msgspec

    return msgspec.json.encode(record).decode()


def show_line(record: LogRecord) -> str:
    """A record as people read it; nothing in it can move a terminal's cursor."""
    from thalweg.client.logs import utc

    name = "" if record.logger in ("stdout", "stderr", "thalweg.vertex", f"thalweg.vertex.{record.vertex}") else f"{record.logger}: "
    fields = "".join(f" {key}={value}" for key, value in record.fields.items())
    shown = f"{utc(record.time_ns)} {record.vertex} {record.level} {name}{record.message}{fields}"
    if record.exception:
        shown += "\n" + record.exception
    shown = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", shown).replace("\n", "\n    ")
    return typer.style(shown, fg=_COLOURS.get(record.level)) if record.level in _COLOURS else shown


def parse_since(text: str, now: datetime) -> datetime:
    """A time in the past from `10m`, `1h30m` or ISO 8601, which is UTC where it does not say.

    Raises:
        UsageError: `since.invalid`.
    """
    try:
        if _DURATION.fullmatch(text):
            return now - timedelta(seconds=sum(int(one) * _UNITS[unit] for one, unit in re.findall(r"(\d+)(ms|s|m|h|d)", text)))
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo is not None else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"--since {text}: neither a duration nor a time", code="since.invalid", hint="10m, 2d, 2026-01-31T12:00") from None
