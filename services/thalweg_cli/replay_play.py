"""`thalweg replay play`: feeds subscribers the recorded messages, on subjects of its own that look like the deployment's."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.errors import NotReproducedError, ThalwegError
from thalweg_cli.output import AsJson, fail
from thalweg_cli.replay import Which, open_replay

if TYPE_CHECKING:
    from thalweg.bus.playing import Stage
    from thalweg.replay.format import Entry
    from thalweg.replay.player import Player
    from thalweg.replay.reader import Replay
    from thalweg.settings import Settings

VIEWERS_TIMEOUT_S = 600.0


def play(
    which: Which,
    name: Annotated[
        str, typer.Option("--name", help="In place of the deployment's in subjects; default NAME-replay.", show_default=False)
    ] = "",
    speed: Annotated[str, typer.Option("--speed", help="Times as fast as it ran; max: as fast as the viewers take it.")] = "1",
    since: Annotated[
        str | None,
        typer.Option("--from", help="When it was stored: 2026-11-25T10:00:00Z, or 10s behind the first one.", show_default=False),
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Likewise; what was stored then is not played.", show_default=False)] = None,
    viewers: Annotated[int, typer.Option("--viewers", help="Wait for so many before it begins.", min=0, max=1000)] = 0,
    wait_s: Annotated[float, typer.Option("--wait", help="Seconds that viewers have at the end to take the rest.", min=0)] = 60.0,
    control: Annotated[bool, typer.Option("--control", help="Read orders: pause, go, step [N], seek TIME, speed N, end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Plays a replay to any number of viewers; none misses a message, and the slowest one sets the pace."""
    from thalweg.replay.player import parse_speed
    from thalweg.settings import load_settings
    from thalweg_cli.event_times import parse_event_time

    try:
        settings, factor = load_settings(), parse_speed(speed)
        replay = open_replay(settings, which)
        first_ns = next((one.time_ns for one in replay.entries()), 0)
        begin, end = (None if text is None else parse_event_time(text, first_ns) for text in (since, until))
        name = name or f"{replay.about.get('deployment', 'run')[:56]}-replay"

        def player_of(stage: Stage) -> Player:
            return _player(replay, stage, factor, begin or 0, end)

        def order_time(text: str) -> int:
            return parse_event_time(text, first_ns)

        sent = asyncio.run(_play(settings, name, player_of, viewers, wait_s, order_time if control else None))
        if replay.faults:
            raise NotReproducedError(f"not all of it was played: {replay.faults[0]}", code="replay.damaged")
    except ThalwegError as error:
        fail(error, as_json)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    typer.echo(json.dumps({"name": name, "messages": sent}) if as_json else f"played as {name}: {sent:,} messages, all taken")


def _player(replay: Replay, stage: Stage, speed: float, from_ns: int, to_ns: int | None) -> Player:
    from thalweg.replay.format import decode_headers
    from thalweg.replay.player import Player

    def entries(start: int) -> Iterator[Entry]:
        return (one for one in replay.entries() if one.time_ns >= start and one.body is not None)

    async def send(entry: Entry) -> None:
        await stage.send(entry.subject, decode_headers(entry.headers).headers, entry.body or b"")

    return Player(entries, send, speed, from_ns, to_ns, time.monotonic)


async def _play(
    settings: Settings,
    name: str,
    player_of: Callable[[Stage], Player],
    viewers: int,
    wait_s: float,
    order_time: Callable[[str], int] | None,
) -> int:
    from thalweg.bus.playing import stage
    from thalweg.client import open_session
    from thalweg.wire.subjects import everything

    async with open_session(settings) as session, stage(session.client, session.workspace, name) as on:
        typer.echo(f"on {everything(session.workspace, name)}", err=True)
        player = player_of(on)
        if order_time is not None:
            _listen(player, order_time)
        await on.wait_for(viewers, VIEWERS_TIMEOUT_S)
        await player.play()
        await on.finish(wait_s)
        return on.sent.count


def _listen(player: Player, order_time: Callable[[str], int]) -> None:
    """Gives the player what standard input says; one line is one order."""
    from thalweg.replay.player import parse_order

    loop = asyncio.get_running_loop()

    def read() -> None:
        for line in iter(lambda: sys.stdin.readline(1000), ""):
            try:
                loop.call_soon_threadsafe(player.orders.put_nowait, parse_order(line, order_time))
            except ThalwegError as error:
                typer.echo(f"error: {error}\n  hint: {error.hint}", err=True)
            except RuntimeError:  # it has ended
                return

    threading.Thread(target=read, daemon=True, name="orders").start()
