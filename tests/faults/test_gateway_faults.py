"""The gateway when it is killed, when NATS goes away under it, and when clients mean it no good: nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from integration.served import DEADLINE_S, Served, deploy, gateway_process, served, token_for, until, until_running, vertices_of
from thalweg.client import Session
from thalweg.embedded.servers import free_ports
from thalweg_gateway.patience import MAX_HEAD_BYTES

DOOR: dict[str, Any] = {"component": "http-in@1.0.0", "params": {"type": "record{n: int}"}}
VERTICES: dict[str, Any] = {
    "door": DOOR,
    "double": {"component": "select@1.0.0", "params": {"fields": {"twice": "n * 2"}}},
    "show": {"component": "http-out@1.0.0"},
}
GIB, MIB = 1 << 30, 1 << 20


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served")) as found:
        yield found


@pytest.fixture
async def session(place: Served) -> AsyncIterator[Session]:
    async with place.tidied_session() as found:
        yield found


class Gateway:
    """A gateway that may be killed and started again on its port."""

    def __init__(self, place: Served) -> None:
        self._place, self._lives = place, ExitStack()
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """A new life; it has little patience, so that tests need little."""
        words = "--head-timeout", "1", "--body-timeout", "1"
        self.process = self._lives.enter_context(gateway_process(self._place, self.port, *words))

    def kill(self) -> None:
        """The end of this life."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Of all of them."""
        self._lives.close()


@pytest.fixture
def gateway(place: Served) -> Iterator[Gateway]:
    found = Gateway(place)
    found.start()
    try:
        yield found
    finally:
        found.close()


async def _doubling(session: Session) -> tuple[str, dict[str, str], dict[str, str]]:
    name = await deploy(session, VERTICES, "door.out -> double.in", "double.out -> show.in")
    await until_running(session, name)
    tokens = [await token_for(session, name, endpoint) for endpoint in ("door.in", "show.out")]
    go_in, out = ({"Authorization": f"Bearer {token}"} for token in tokens)
    return name, go_in, out


async def _post_until_stored(http: httpx.AsyncClient, url: str, n: int, headers: dict[str, str]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with suppress(httpx.TransportError):
                found = await http.post(url, json={"n": n}, headers={**headers, "Idempotency-Key": f"key-{n}"})
                if found.status_code == 202:
                    return
                assert found.status_code in (429, 503), found.text
            await asyncio.sleep(0.05)


async def _read_events(http: httpx.AsyncClient, url: str, headers: dict[str, str], count: int) -> list[int]:
    """What an event stream shows, which is opened again behind its last event whenever it breaks."""
    seen, last = list[int](), dict[str, str]()
    while len(seen) < count:
        with suppress(httpx.TransportError):
            async with http.stream("GET", url, headers={**headers, **last, "Accept": "text/event-stream"}) as events:
                async for line in events.aiter_lines():
                    if line.startswith("id: "):
                        last = {"Last-Event-ID": line[4:]}
                    elif line.startswith("data: {"):
                        seen.append(json.loads(line[6:])["twice"])
                    if len(seen) == count:
                        return seen
        await asyncio.sleep(0.05)
    return seen


async def test_a_gateway_that_is_killed_loses_nothing_and_doubles_nothing(session: Session, gateway: Gateway) -> None:
    name, go_in, out = await _doubling(session)
    count, stored = 300, set[int]()
    async with httpx.AsyncClient(base_url=gateway.url, timeout=10) as http:
        reading = asyncio.create_task(_read_events(http, f"/e/{name}/show/out?from=start", out, count))

        async def post(start: int) -> None:
            for n in range(start, count, 4):
                await _post_until_stored(http, f"/e/{name}/door/in", n, go_in)
                stored.add(n)

        async def has_stored(wanted: int) -> bool:
            return len(stored) >= wanted

        posting = [asyncio.create_task(post(start)) for start in range(4)]
        for wanted in (50, 150):
            await until(lambda wanted=wanted: has_stored(wanted))  # type: ignore[misc]
            gateway.kill()
            await asyncio.to_thread(gateway.start)
        await asyncio.gather(*posting)
        assert len(stored) == count
        assert sorted(await asyncio.wait_for(reading, DEADLINE_S)) == [2 * n for n in range(count)]
    assert (await vertices_of(session, name))["door"].records_in == count


async def test_sockets_live_through_a_restart_of_nats(session: Session, place: Served, gateway: Gateway) -> None:
    name, go_in, out = await _doubling(session)
    base, count, told = gateway.url.replace("http", "ws"), 120, set[str]()
    (nats_server, _) = place.stack.processes
    async with (
        connect(f"{base}/e/{name}/door/in", additional_headers=go_in) as writer,
        connect(f"{base}/e/{name}/show/out?meta=1", additional_headers=out) as reader,
    ):
        seen: list[dict[str, Any]] = []

        async def read() -> None:
            while {one["value"]["twice"] for one in seen} < {2 * n for n in range(count)}:
                seen.append(json.loads(await reader.recv()))

        reading, killing = asyncio.create_task(read()), None
        async with asyncio.timeout(DEADLINE_S):
            for n in range(count):
                if n == 40 and (pid := nats_server.pid) is not None:
                    psutil.Process(pid).kill()
                    killing = asyncio.create_task(asyncio.to_thread(nats_server.wait_restarted, pid, 30))
                await writer.send(json.dumps({"n": n}))
                while "id" not in (answer := json.loads(await writer.recv())):
                    told.add(answer["error"]["code"])
                    await writer.send(json.dumps({"n": n}))
            await reading
        assert killing is not None
        await killing
    assert told <= {"nats.unreachable", "deployment.not_running", "endpoint.full"}
    assert [one["number"] for one in seen] == list(range(1, len(seen) + 1))


async def _send(gateway: Gateway, *pieces: bytes) -> bytes:
    """Sends bytes on a connection of its own, and reads until it is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    with suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
    try:
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


def _head(name: str, headers: dict[str, str], *more: str) -> bytes:
    fields = [f"Authorization: {headers['Authorization']}", "Host: gateway", "Content-Type: application/json", *more]
    return "\r\n".join([f"POST /e/{name}/door/in HTTP/1.1", *fields, "", ""]).encode()


async def test_what_is_sent_by_halves_and_slowly_is_given_up_and_not_stored(session: Session, gateway: Gateway) -> None:
    name, go_in, _ = await _doubling(session)
    half = _head(name, go_in, "Content-Length: 100") + b'{"n": 1}'
    chunked = _head(name, go_in, "Transfer-Encoding: chunked") + b'8\r\n{"n": 1}\r\n'
    for begun in (half, chunked):  # the client is gone in the middle of its body
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(begun)
        await writer.drain()
        writer.transport.abort()
    for answer in await asyncio.gather(_send(gateway, half), _send(gateway, chunked)):
        assert answer.startswith(b"HTTP/1.1 408 ") and b'"body.late"' in answer, answer
    answer = await _send(gateway, b"POST / HTTP/1.1\r\nHost: a\r\n")
    assert answer.startswith(b"HTTP/1.1 408 ") and b'"request.head_late"' in answer
    answer = await _send(gateway, b"POST / HTTP/1.1\r\n", *[b"X-%d: %s\r\n" % (n, b"x" * 1000) for n in range(2 * MAX_HEAD_BYTES // 1000)])
    assert answer.startswith(b"HTTP/1.1 431 ") and b'"request.head_too_large"' in answer
    assert (await vertices_of(session, name))["door"].records_in == 0


async def test_a_client_that_never_comes_to_an_end_is_cut_off(session: Session, gateway: Gateway) -> None:
    name, go_in, _ = await _doubling(session)
    trickles: list[tuple[bytes, bytes]] = [
        (b"GET / HTTP/1.1\r\nX: ", b"x"),
        (_head(name, go_in, "Content-Length: 100000"), b" "),
        (_head(name, {"Authorization": "Bearer wrong"}, "Content-Length: 100000"), b" "),
    ]

    async def trickle(begun: bytes, more: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(begun)
        reading = asyncio.create_task(reader.read())
        while not reading.done():
            with suppress(ConnectionError):
                writer.write(more)
                await writer.drain()
            await asyncio.wait([reading], timeout=0.05)
        writer.close()
        return await reading

    async with asyncio.timeout(20), httpx.AsyncClient(base_url=gateway.url, timeout=10) as http:
        slow = [asyncio.create_task(trickle(*one)) for one in trickles * 20]
        for n in range(20):  # and nobody else waits for them
            await _post_until_stored(http, f"/e/{name}/door/in", n, go_in)
        statuses = [answer.split()[1] for answer in await asyncio.gather(*slow)]
    assert statuses == [b"408", b"408", b"401"] * 20


async def test_a_body_of_a_gigabyte_is_refused_without_being_held(session: Session, gateway: Gateway) -> None:
    name, go_in, _ = await _doubling(session)
    serving = psutil.Process(gateway.process.pid)
    before_bytes = serving.memory_info().rss
    answer = await _send(gateway, _head(name, go_in, f"Content-Length: {GIB}"))
    assert answer.startswith(b"HTTP/1.1 413 ") and b'"body.too_large"' in answer

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(GIB // MIB):
            yield b" " * MIB

    async with httpx.AsyncClient(base_url=gateway.url, timeout=20) as http:
        with suppress(httpx.WriteError, httpx.ReadError):  # it has had enough before all is sent, and closes
            assert (await http.post(f"/e/{name}/door/in", content=endless(), headers=go_in)).status_code == 413
    async with connect(f"{gateway.url.replace('http', 'ws')}/e/{name}/door/in", additional_headers=go_in) as socket:
        with suppress(ConnectionClosed):
            await socket.send(b" " * (65 * MIB))
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009
    assert serving.memory_info().rss - before_bytes < 100 * MIB
    async with httpx.AsyncClient(base_url=gateway.url, timeout=10) as http:
        await _post_until_stored(http, f"/e/{name}/door/in", 1, go_in)


async def test_a_body_that_is_not_what_it_is_said_to_be_is_refused_clearly(session: Session, gateway: Gateway) -> None:
    name, go_in, _ = await _doubling(session)
    wrong: list[tuple[dict[str, str], bytes, int, str]] = [
        ({"Content-Type": "application/xml"}, b"<n>1</n>", 415, "body.type_unknown"),
        ({"Content-Type": "a/b/c; d"}, b"1", 415, "body.type_unknown"),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, b"\x1f\x8b\x08", 415, "body.type_unknown"),
        ({"Content-Type": "application/json"}, b"\x81\xa1n\x01", 400, "body.unreadable"),
        ({"Content-Type": "application/msgpack"}, b'{"n": 1}', 422, "record.misfit"),
        ({"Content-Type": "image/png"}, b'{"n": 1}', 400, "body.unreadable"),
        ({"Content-Type": "application/octet-stream"}, b'{"n": 1}', 422, "record.misfit"),
        ({"Content-Type": "multipart/form-data"}, b'{"n": 1}', 400, "body.unreadable"),
    ]
    async with httpx.AsyncClient(base_url=gateway.url, timeout=10) as http:
        for headers, body, status, code in wrong:
            found = await http.post(f"/e/{name}/door/in", content=body, headers={**go_in, **headers})
            assert (found.status_code, found.json()["error"]["code"]) == (status, code), (headers, found.text)
    assert (await vertices_of(session, name))["door"].records_in == 0
