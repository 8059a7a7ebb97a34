"""A replay is played: every viewer gets all of it, in the same order, and the slowest one sets the pace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from thalweg.bus import playing
from thalweg.bus.connection import Client, connect
from thalweg.bus.playing import Stage, stage
from thalweg.errors import NotReproducedError, RejectedError
from thalweg.replay.format import Entry, decode_headers
from thalweg.replay.player import Player
from thalweg.replay.reader import Replay
from thalweg.settings import Settings
from thalweg.wire import subjects
from unit.replay.logs import log, record

DEADLINE_S = 30.0


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[Client]:
    assert settings.nats_url is not None
    found = await connect(settings.nats_url, "viewer")
    yield found
    await found.close()


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    path = tmp_path_factory.mktemp("play") / "run.mcap"
    record(path, log())
    return Replay(path)


def _player(replay: Replay, on: Stage) -> Player:
    async def send(entry: Entry) -> None:
        await on.send(entry.subject, decode_headers(entry.headers).headers, entry.body or b"")

    return Player(lambda start: (one for one in replay.entries() if one.body is not None), send, 0.0, 0, None, time.monotonic)


def _recorded(replay: Replay) -> list[tuple[str, bytes]]:
    return [(subjects.moved(one.subject, "default", "show"), one.body) for one in replay.entries() if one.body is not None]


async def test_viewers_get_the_same_in_the_same_order_and_a_slow_one_holds_the_others_up(
    client: Client, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playing, "MAX_MESSAGES", 5)
    wanted, seen = _recorded(replay), {"quick": list[tuple[str, bytes]](), "slow": list[tuple[str, bytes]]()}
    async with stage(client, "default", "show") as on:
        js, stream = client.jetstream(), subjects.stream("default", "show")
        viewing = {name: await js.pull_subscribe("", durable=name, stream=stream) for name in seen}
        is_held_up = asyncio.Event()

        async def view(name: str) -> None:
            if name == "slow":
                await is_held_up.wait()
            while len(seen[name]) < len(wanted):
                for message in await viewing[name].fetch(10, timeout=DEADLINE_S):
                    seen[name].append((message.subject, message.data))
                    await message.ack()
                if name == "quick" and len(seen[name]) == 5:
                    assert not seen["slow"]
                    is_held_up.set()

        async with asyncio.timeout(DEADLINE_S):
            await on.wait_for(2, DEADLINE_S)
            await asyncio.gather(_player(replay, on).play(), *map(view, seen))
            await on.finish(DEADLINE_S)
        assert seen["quick"] == seen["slow"] == wanted and on.sent.count == len(wanted)


async def test_a_viewer_that_does_not_take_all_is_told(client: Client, replay: Replay) -> None:
    async with stage(client, "default", "show") as on:
        await client.jetstream().pull_subscribe("", durable="asleep", stream=subjects.stream("default", "show"))
        await _player(replay, on).play()
        with pytest.raises(NotReproducedError) as caught:
            await on.finish(1.0)
        assert caught.value.code == "play.not_taken" and f"asleep has not taken the last {on.sent.count:,}" in str(caught.value)


async def test_what_arrives_otherwise_than_it_was_sent_is_told(client: Client, replay: Replay) -> None:
    async with stage(client, "default", "show") as on:
        await client.jetstream().publish("tw.default.show.v.x.out.0", b"from somebody else")
        await _player(replay, on).play()
        with pytest.raises(NotReproducedError) as caught:
            await on.finish(5.0)
        assert caught.value.code == "play.differs"


async def test_a_name_is_played_once_at_a_time_and_nothing_of_it_stays(client: Client) -> None:
    async with stage(client, "default", "show"):
        with pytest.raises(RejectedError) as caught:
            async with stage(client, "default", "show"):
                pass
        assert caught.value.code == "play.name_taken"
    async with stage(client, "default", "show") as on:
        with pytest.raises(RejectedError) as caught:
            await on.wait_for(1, 0.3)
        assert caught.value.code == "play.no_viewer"
