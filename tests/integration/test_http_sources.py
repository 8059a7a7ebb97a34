"""http-poll-source and websocket-source against real servers: what changes comes, what does not does not, outages are waited out."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from integration.live import LiveSource, bound
from integration.receiver import Receiver, Reply, Seen, receiving
from thalweg import Context
from thalweg.errors import RejectedError, UnreachableError
from thalweg_components.json_pointers import find_pointer
from thalweg_components.sources.http_poll_source import HttpPollSource, next_link
from thalweg_components.sources.websocket_source import WebsocketSource

ROW = "record{id: int}"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


class Pages:
    """Serves lists of ids by pages of three, with an ETag."""

    def __init__(self, count: int) -> None:
        self.count, self.down = count, 0

    def __call__(self, seen: Seen) -> Reply:
        if self.down:
            self.down -= 1
            return 503, {}, b""
        etag = f'"{self.count}"'
        if seen.headers.get("if-none-match") == etag:
            return 304, {"etag": etag}, b""
        page = int(seen.path.partition("page=")[2] or 0)
        rows = [{"id": n} for n in range(self.count)][page * 3 : page * 3 + 3]
        more = {"link": f'<https://other.example/>; rel="prev", </rows?page={page + 1}>; rel="next"'} if (page + 1) * 3 < self.count else {}
        return 200, {"etag": etag, **more}, json.dumps({"data": {"rows": rows}}).encode()


def polling(receiver: Receiver, **more: Any) -> dict[str, Any]:
    return {"url": f"{receiver.url}/rows", "schema": ROW, "items": "/data/rows", "next": "link", "every_s": 0.05, **more}


async def test_pages_are_followed_and_what_has_not_changed_gives_nothing(receiver: Receiver) -> None:
    receiver.answer = pages = Pages(7)
    source = LiveSource(HttpPollSource, polling(receiver))
    running = source.start()
    await running.until_count(7)
    await asyncio.to_thread(receiver.wait_for, lambda seen: sum(one.headers.get("if-none-match") == '"7"' for one in seen) >= 2)
    assert [one.id for one in source.values] == list(range(7))
    pages.down, pages.count = 2, 8
    await running.until_count(9)
    assert [one.id for one in source.values[7:]] == [6, 7]  # of the page that has changed
    await running.drain()


async def test_it_goes_on_behind_the_last_committed_item(receiver: Receiver) -> None:
    receiver.answer = Pages(9)
    whole = LiveSource(HttpPollSource, polling(receiver, rounds=1))
    await whole.start().ended()
    instance = bound(HttpPollSource, polling(receiver, rounds=1))
    assert [one.id for one in whole.values] == list(range(9))
    await instance.setup(Context("v", {}, {}, {}))
    seen = [one async for one in instance.read(None)]
    for index, one in enumerate(seen):
        rest = [after.value.id async for after in instance.read(one.cursor)]
        assert rest == list(range(index + 1, 9)), index
    receiver.answer = Pages(8)  # the pages are others now: the one it was in comes whole
    assert [after.value.id async for after in instance.read(seen[7].cursor)] == [6, 7]
    await instance.close()


async def test_what_does_not_fit_is_faulty_alone(receiver: Receiver) -> None:
    receiver.answer = lambda seen: (200, {}, b'[{"id": 1}, {"id": "two"}, {"id": 3}]')
    source = LiveSource(HttpPollSource, polling(receiver, items="", next="none", rounds=1), on_error="dead-letter")
    await source.start().ended()
    assert [one.id for one in source.values] == [1, 3] and "Expected `int`" in source.dead[0]["error"]
    receiver.answer = lambda seen: (200, {}, b"<html>")
    source = LiveSource(HttpPollSource, polling(receiver, rounds=1), on_error="dead-letter")
    await source.start().ended()
    assert source.values == [] and "no JSON" in source.dead[0]["error"]


async def test_next_pages_of_another_host_are_left_out(receiver: Receiver) -> None:
    receiver.answer = lambda seen: (200, {}, b'{"rows": [{"id": 1}], "next": "http://127.0.0.2:9/steal"}')
    source = LiveSource(HttpPollSource, polling(receiver, items="/rows", next="/next", rounds=1), {"authorization": "Bearer tokens"})
    await source.start().ended()
    assert len(source.values) == 1 and receiver.seen[0].headers["authorization"] == "Bearer tokens"


async def test_probes(receiver: Receiver) -> None:
    await bound(HttpPollSource, polling(receiver)).probe()
    receiver.answer = lambda seen: (404, {}, b"")
    with pytest.raises(RejectedError, match="status 404"):
        await bound(HttpPollSource, polling(receiver)).probe()


def test_links_and_pointers() -> None:
    assert next_link('<https://a/?q=1,2;x>; rel="last prev", <https://a/?page=2>; title="a,b"; rel=next') == "https://a/?page=2"
    assert next_link('<https://a/>; rel="nextish"') == next_link("") == next_link("garbage") == ""
    document = {"a/b": [{"m~n": 7}]}
    assert find_pointer(document, "/a~1b/0/m~0n") == 7 and find_pointer(document, "") is document
    assert find_pointer(document, "/a~1b/1") is None and find_pointer(document, "/x/y") is None


@asynccontextmanager
async def talking(texts: list[str], port: int = 0, token: str = "") -> AsyncIterator[tuple[int, list[str]]]:
    """A WebSocket server that says some things to each who connects, and hears what it is sent."""
    heard: list[str] = []

    async def talk(connection: ServerConnection) -> None:
        heard.append(str(await connection.recv()))
        for text in texts:
            await connection.send(text)
        await connection.wait_closed()

    def check(connection: ServerConnection, request: Any) -> Any:
        return connection.respond(401, "no") if token and request.headers.get("authorization") != token else None

    async with serve(talk, "127.0.0.1", port, process_request=check) as server:
        yield server.sockets[0].getsockname()[1], heard


async def test_messages_come_and_an_outage_is_waited_out() -> None:
    async with talking(['{"id": 1}', "no json", '{"id": 2}']) as (port, heard):
        params = {"url": f"ws://127.0.0.1:{port}/feed", "schema": ROW, "subscribe": ["all of it"]}
        source = LiveSource(WebsocketSource, params, on_error="dead-letter")
        running = source.start()
        await running.until_count(2)
        assert [one.id for one in source.values] == [1, 2] and len(source.dead) == 1 and heard == ["all of it"]
    async with talking(['{"id": 3}'], port):
        await running.until_count(3)
    assert source.values[2].id == 3
    await running.stop()


async def test_a_websocket_is_probed_with_its_secrets() -> None:
    async with talking([], token="Bearer right") as (port, _):
        params = {"url": f"ws://127.0.0.1:{port}/", "schema": "str"}
        await bound(WebsocketSource, params, {"authorization": "Bearer right"}).probe()
        with pytest.raises(RejectedError, match="status 401") as raised:
            await bound(WebsocketSource, params, {"authorization": "Bearer wr0ng"}).probe()
        assert "wr0ng" not in str(raised.value)
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    with pytest.raises(UnreachableError):
        await bound(WebsocketSource, {"url": f"ws://127.0.0.1:{free}/", "schema": "str"}).probe()
