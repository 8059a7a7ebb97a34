"""The gateway as callers see it: a process of its own over real servers, asked by HTTP clients."""

from __future__ import annotations

import asyncio
import io
import json
import re
import signal
import textwrap
import wave
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgpack
import msgspec
import numpy as np
import pytest
import yaml
from jsonschema import Draft202012Validator
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from integration.npm import install
from integration.served import Served, deploy, gateway_of, served, token_for, until, until_running, vertices_of
from thalweg import Image
from thalweg.api.backends import EDIT, Edit
from thalweg.api.deployments import DEPLOY, REDEPLOY, STATUS, UNDEPLOY, Deploy, MaybeNamed, Redeploy, Undeploy
from thalweg.api.endpoints import LIST, MaybeOfBackend
from thalweg.api.leases import OPEN, ROLLBACK, End, Open
from thalweg.bus.buckets import Bucket
from thalweg.bus.deployments import load_deployment, store_deployment
from thalweg.client import Session
from thalweg.embedded.leftovers import process_of
from thalweg.graph.operations import SetParam
from thalweg.wire import subjects

DOCS = [Path(__file__).parents[2] / name for name in ("docs/endpoints.md", "README.md")]
DOOR: dict[str, Any] = {"component": "http-in@1.0.0", "params": {"type": "record{n: int, x: float}"}}
SHOW: dict[str, Any] = {"component": "http-out@1.0.0"}
DOUBLE: dict[str, Any] = {"component": "select@1.0.0", "params": {"fields": {"twice": "n * 2", "x": "x"}}}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served")) as found:
        yield found


@pytest.fixture(scope="module")
def gateway(place: Served) -> Iterator[str]:
    with gateway_of(place) as url:
        yield url


@pytest.fixture
async def session(place: Served) -> AsyncIterator[Session]:
    async with place.tidied_session() as found:
        yield found


@pytest.fixture
async def http(gateway: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=gateway, timeout=30, limits=httpx.Limits(max_connections=400)) as found:
        yield found


async def _doubling(session: Session, **params: Any) -> tuple[str, dict[str, str], dict[str, str]]:
    """A backend that doubles; what opens its two endpoints."""
    door = {**DOOR, "params": {**DOOR["params"], **params}}
    name = await deploy(session, {"door": door, "double": DOUBLE, "show": SHOW}, "door.out -> double.in", "double.out -> show.in")
    await until_running(session, name)
    tokens = [await token_for(session, name, endpoint) for endpoint in ("door.in", "show.out")]
    go_in, out = ({"Authorization": f"Bearer {token}"} for token in tokens)
    return name, go_in, out


async def until_out(session: Session, name: str, count: int, vertex: str = "show") -> None:
    """Waits until so many records have left: an answer may come before."""

    async def is_out() -> bool:
        return (await vertices_of(session, name))[vertex].records_out >= count

    await until(is_out)


async def sent(http: httpx.AsyncClient, url: str, records: list[Any], headers: dict[str, str]) -> None:
    """Waits while the graph pushes back."""
    async with asyncio.timeout(60):
        while records:
            found = await http.post(url, json=records, headers=headers)
            if found.status_code == 202:
                return
            assert found.status_code == 429, found.text
            records = records[len(found.json()["error"].get("ids", [])) :]


async def test_records_go_in_in_every_form_and_come_out(session: Session, http: httpx.AsyncClient) -> None:
    name, go_in, out = await _doubling(session)
    url = f"/e/{name}/door/in"
    one = await http.post(url, json={"n": 1, "x": 1}, headers=go_in)
    assert one.status_code == 202 and len(one.json()["id"]) == 16, one.text
    many = await http.post(url, json=[{"n": 2, "x": 0.5}, {"n": 3, "x": 0}], headers=go_in)
    assert many.status_code == 202 and len(many.json()["ids"]) == 2
    lines = b'{"n": 4, "x": 0}\n\n{"n": 5, "x": 0}\n'
    found = await http.post(url, content=lines, headers={**go_in, "Content-Type": "application/x-ndjson"})
    assert found.status_code == 202 and len(found.json()["ids"]) == 2
    packed = msgpack.packb([{"n": 6, "x": 0}])
    found = await http.post(url, content=packed, headers={**go_in, "Content-Type": "application/msgpack"})
    assert found.status_code == 202, found.text
    found = await http.post(f"{url}?wait=10s", files={"n": (None, "7"), "x": (None, "1.5")}, headers=go_in)
    assert (found.status_code, found.json()) == (200, {"twice": 14, "x": 1.5}), found.text
    await until_out(session, name, 7)
    newest = await http.get(f"/e/{name}/show/out", headers=out)
    assert newest.json() == {"twice": 14, "x": 1.5} and newest.headers["Tw-Number"] == "7"


async def test_what_does_not_fit_is_refused_with_the_place_and_the_reason(session: Session, http: httpx.AsyncClient) -> None:
    name, go_in, _ = await _doubling(session, max_body_bytes=2000)
    url = f"/e/{name}/door/in"

    async def refused(status: int, content: bytes, content_type: str = "application/json") -> dict[str, Any]:
        found = await http.post(url, content=content, headers={**go_in, "Content-Type": content_type})
        assert found.status_code == status, found.text
        error: dict[str, Any] = found.json()["error"]
        return error

    error = await refused(422, b'{"n": "one", "x": 1.0}')
    assert (error["code"], error["path"]) == ("record.misfit", "$.n") and "Expected `int`" in error["reason"]
    error = await refused(422, b'[{"n": 1, "x": 1.0}, {"n": 1}]')
    assert error["index"] == 1 and "missing required field `x`" in error["reason"]
    assert (await refused(422, msgpack.packb({"n": 1.5, "x": 1}), "application/msgpack"))["path"] == "$.n"
    assert (await refused(422, b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x02\x00\x03\x03\x00", "image/jpeg"))["path"] == "$"
    assert (await refused(400, b'{"n": 1'))["code"] == "body.unreadable"
    assert (await refused(400, b"[]"))["code"] == "body.unreadable"
    assert (await refused(400, b"\xc1", "application/msgpack"))["code"] == "body.unreadable"
    assert (await refused(400, b"no form", "multipart/form-data; boundary=x"))["code"] == "body.unreadable"
    assert (await refused(400, b"not an image", "image/png"))["code"] == "body.unreadable"
    assert (await refused(415, b"<n>1</n>", "application/xml"))["code"] == "body.type_unknown"
    assert (await refused(413, b" " * 2001))["max_bytes"] == 2000

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1000

    assert (await http.post(url, content=endless(), headers=go_in)).status_code == 413
    assert (await http.get(url, headers=go_in)).status_code == 405
    assert (await http.post(f"{url}?wait=never", json={"n": 1, "x": 1}, headers=go_in)).status_code == 400
    assert (await vertices_of(session, name))["door"].records_in == 0


async def test_nobody_learns_anything_without_the_token_of_the_endpoint(session: Session, http: httpx.AsyncClient) -> None:
    name, go_in, out = await _doubling(session)
    url, record = f"/e/{name}/door/in", {"n": 1, "x": 1}
    refused = [
        await http.post(url, json=record),
        await http.post(url, json=record, headers={"Authorization": "Bearer twe_wrong"}),
        await http.post(url, json=record, headers={"Authorization": "Basic abc"}),
        await http.post(url, json=record, headers=out),
        await http.post(f"/e/{name}/door/out", json=record, headers=go_in),
        await http.post(f"/e/{name}/nobody/in", json=record, headers=go_in),
        await http.post("/e/nothing/door/in", json=record, headers=go_in),
        await http.post(f"/a/{name}/nothing", json=record, headers=go_in),
        await http.get(f"/e/{name}/show/out", headers=go_in),
        await http.get(f"{url}/0000000000000001", headers=out),
    ]
    assert {(one.status_code, one.text, one.headers["www-authenticate"]) for one in refused} == {
        (401, refused[0].text, "Bearer"),
    }
    assert all(one.elapsed.total_seconds() >= 0.05 for one in refused)
    by_query = await http.post(f"{url}?token={go_in['Authorization'][7:]}", json=record)
    assert by_query.status_code == 202
    with pytest.raises(InvalidStatus) as told:
        async with connect(f"{str(http.base_url).replace('http', 'ws')}{url}"):
            pass
    assert told.value.response.status_code == 401


async def test_a_token_is_kept_as_a_hash_and_an_old_one_is_valid_for_its_grace_time(session: Session, http: httpx.AsyncClient) -> None:
    name, first, _ = await _doubling(session)
    url, record = f"/e/{name}/door/in", {"n": 1, "x": 1}

    async def status(headers: dict[str, str]) -> int:
        return (await http.post(url, json=record, headers=headers)).status_code

    second = {"Authorization": f"Bearer {await token_for(session, name, 'door.in', grace_s=1.5)}"}
    assert (await status(first), await status(second)) == (202, 202)

    async def is_over() -> bool:
        return await status(first) == 401

    await until(is_over)
    third = {"Authorization": f"Bearer {await token_for(session, name, 'door.in', grace_s=0)}"}

    async def is_refused() -> bool:
        return await status(second) == 401

    await until(is_refused)
    assert await status(third) == 202
    kept = await Bucket(session.client, subjects.bucket("default", "endpoints")).items()
    assert all(token["Authorization"][7:] not in body.decode() for token in (first, second, third) for body in kept.values())
    (info,) = [one for one in (await session.ask(LIST, MaybeOfBackend(backend=name))).endpoints if one.side == "in"]
    assert len(info.tokens) == 1 and info.deployment == name and info.subject == subjects.inlet("default", name, "door")


async def test_a_repeated_request_stores_nothing_twice(session: Session, http: httpx.AsyncClient) -> None:
    name, go_in, _ = await _doubling(session)
    url, keyed = f"/e/{name}/door/in", {**go_in, "Idempotency-Key": "order-17"}
    first = await http.post(url, json={"n": 1, "x": 1}, headers=keyed)
    again = await http.post(f"{url}?wait=10s", json={"n": 1, "x": 1}, headers=keyed)
    assert again.headers["Tw-Id"] == first.json()["id"] and again.json() == {"twice": 2, "x": 1.0}
    many = [{"n": n, "x": 0} for n in range(300)]
    sets = [await http.post(url, json=many, headers={**go_in, "Idempotency-Key": "many"}) for _ in range(2)]
    assert sets[0].json() == sets[1].json() and len(set(sets[0].json()["ids"])) == 300
    more = await http.post(url, json=many[:200], headers={**go_in, "Idempotency-Key": "many"})
    assert more.json()["ids"] == sets[0].json()["ids"][:200]
    await until_out(session, name, 301)
    assert (await vertices_of(session, name))["door"].records_in == 301
    assert (await http.post(url, json={"n": 1, "x": 1}, headers={**go_in, "Idempotency-Key": "a b"})).status_code == 400


async def test_a_caller_has_a_rate(session: Session, http: httpx.AsyncClient) -> None:
    name, go_in, _ = await _doubling(session, rate_per_s=5, burst=10)
    url = f"/e/{name}/door/in"
    found = [await http.post(url, json=[{"n": n, "x": 0} for n in range(6)], headers=go_in) for _ in range(2)]
    assert [one.status_code for one in found] == [202, 429]
    assert int(found[1].headers["Retry-After"]) >= 1 and found[1].json()["error"]["code"] == "rate.exceeded"


async def test_a_graph_that_is_behind_pushes_back_and_loses_nothing(session: Session, place: Served, http: httpx.AsyncClient) -> None:
    name, go_in, _ = await _doubling(session, burst=100_000)
    url, stored = f"/e/{name}/door/in", 0
    door = process_of(place.settings.data / "vertices" / name / "door.json")
    assert door is not None
    door.send_signal(signal.SIGSTOP)
    try:
        while (found := await http.post(url, json=[{"n": 0, "x": 0}] * 200, headers=go_in)).status_code == 202:
            stored += len(found.json()["ids"])
    finally:
        door.send_signal(signal.SIGCONT)
    error = found.json()["error"]
    assert (found.status_code, error["code"]) == (429, "endpoint.full") and int(found.headers["Retry-After"]) >= 1
    await until_out(session, name, stored + len(error.get("ids", [])))
    await sent(http, url, [{"n": 1, "x": 0}], go_in)
    await until_out(session, name, stored + len(error.get("ids", [])) + 1)
    assert (await vertices_of(session, name))["door"].records_in == stored + len(error.get("ids", [])) + 1


async def test_a_socket_takes_many_records(session: Session, http: httpx.AsyncClient) -> None:
    name, go_in, _ = await _doubling(session, max_body_bytes=1000)
    async with connect(f"{str(http.base_url).replace('http', 'ws')}/e/{name}/door/in", additional_headers=go_in) as socket:
        ids = []
        for n in range(20):
            await socket.send(json.dumps({"n": n, "x": 0}) if n % 2 else msgpack.packb({"n": n, "x": 0}))
            ids.append(json.loads(await socket.recv())["id"])
        await socket.send('[{"n": 20, "x": 0}, {"n": 21, "x": 0}]')
        ids += json.loads(await socket.recv())["ids"]
        await socket.send('{"n": true, "x": 0}')
        assert json.loads(await socket.recv())["error"]["path"] == "$.n"
        await socket.send("{")
        assert json.loads(await socket.recv())["error"]["code"] == "body.unreadable"
        await socket.send(" " * 1001)
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009
    assert sorted(ids) == ids and len(set(ids)) == 22
    await until_out(session, name, 22)


async def test_every_reader_gets_everything_from_where_it_wants(session: Session, http: httpx.AsyncClient) -> None:
    name, go_in, out = await _doubling(session)
    url, socket_url = f"/e/{name}/door/in", f"{str(http.base_url).replace('http', 'ws')}/e/{name}/show/out"
    await http.post(f"{url}?wait=10s", json={"n": 1, "x": 0}, headers=go_in)
    await until_out(session, name, 1)
    async with (
        connect(f"{socket_url}?from=start", additional_headers=out) as old,
        connect(f"{socket_url}?from=now&meta=1", additional_headers=out) as new,
        connect(f"{socket_url}?format=msgpack", additional_headers=out) as packed,
        http.stream("GET", f"/e/{name}/show/out?from=start", headers={**out, "Accept": "text/event-stream"}) as events,
    ):
        assert json.loads(await old.recv()) == {"twice": 2, "x": 0.0}
        await http.post(url, json=[{"n": n, "x": 0} for n in range(2, 12)], headers=go_in)
        wanted = [{"twice": 2 * n, "x": 0.0} for n in range(2, 12)]
        assert [json.loads(await old.recv()) for _ in wanted] == wanted
        seen = [json.loads(await new.recv()) for _ in wanted]
        assert [one["value"] for one in seen] == wanted and [one["number"] for one in seen] == list(range(2, 12))
        assert [msgpack.unpackb(await packed.recv()) for _ in wanted] == wanted
        got, last = await _events(events, 6)
        assert got == [{"twice": 2, "x": 0.0}, *wanted[:5]]
    later = {**out, "Accept": "text/event-stream", "Last-Event-ID": last}
    async with http.stream("GET", f"/e/{name}/show/out", headers=later) as events:
        assert (await _events(events, 5))[0] == wanted[5:]

    async def is_left() -> bool:
        consumers = await session.client.jetstream().consumers_info(subjects.stream("default", name))
        return not [one for one in consumers if subjects.outlet("default", name, "show") in (one.config.filter_subjects or [])]

    await until(is_left)
    async with connect(f"{socket_url}?from={seen[7]['sequence']}", additional_headers=out) as some:
        assert [json.loads(await some.recv()) for _ in wanted[7:]] == wanted[7:]


async def _events(response: httpx.Response, count: int) -> tuple[list[Any], str]:
    found: list[Any] = []
    last = ""
    async with asyncio.timeout(30):
        async for line in response.aiter_lines():
            if line.startswith("id: "):
                last = line[4:]
            elif line.startswith("data: "):
                found.append(json.loads(line[6:]))
                if len(found) == count:
                    break
    return found, last


async def test_a_slow_reader_is_cut_off_with_a_reason_and_holds_nobody_up(session: Session, http: httpx.AsyncClient) -> None:
    vertices = {"door": {"component": "http-in@1.0.0", "params": {"type": "str", "burst": 100_000}}, "show": SHOW}
    name = await deploy(session, vertices, "door.out -> show.in")
    await until_running(session, name)
    go_in, out = [{"Authorization": f"Bearer {await token_for(session, name, one)}"} for one in ("door.in", "show.out")]
    socket_url = f"{str(http.base_url).replace('http', 'ws')}/e/{name}/show/out?from=start"
    count, text = 3000, "x" * 20_000
    async with connect(socket_url, additional_headers=out, max_queue=1, ping_interval=None) as slow:
        for _ in range(0, count, 100):
            await sent(http, f"/e/{name}/door/in", [text] * 100, go_in)
        await until_out(session, name, count)
        received = 0

        async def read() -> None:
            nonlocal received
            while received < count:
                await slow.recv()
                received += 1

        with pytest.raises(ConnectionClosed) as closed:
            await read()
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 4008 and "too slow" in closed.value.rcvd.reason
    assert 0 < received < count


async def test_images_and_audio_go_in_and_come_out_as_themselves(session: Session, http: httpx.AsyncClient) -> None:
    vertices = {"eye": _door("image"), "turn": {"component": "mirror@1.0.0"}, "ear": _door("audio<8000,1>"), "see": SHOW, "hear": SHOW}
    name = await deploy(session, vertices, "eye.out -> turn.in", "turn.out -> see.in", "ear.out -> hear.in")
    await until_running(session, name)
    eye, ear, see, hear = [
        {"Authorization": f"Bearer {await token_for(session, name, one)}"} for one in ("eye.in", "ear.in", "see.out", "hear.out")
    ]
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:, 0] = 255
    for form in ("png", "jpeg"):
        image = Image.from_array(pixels, form).data
        found = await http.post(f"/e/{name}/eye/in?wait=10s", content=image, headers={**eye, "Content-Type": f"image/{form}"})
        assert (found.status_code, found.headers["content-type"]) == (200, "image/png"), found.text
        assert Image("png", 6, 4, found.content).to_array()[0, 5].min() > 200
    async with connect(f"{str(http.base_url).replace('http', 'ws')}/e/{name}/eye/in?type=image/jpeg", additional_headers=eye) as camera:
        await camera.send(image)
        assert "id" in json.loads(await camera.recv())
        await camera.send(b"no image")
        assert json.loads(await camera.recv())["error"]["code"] == "body.unreadable"
    files = [("a", ("a.png", Image.from_array(pixels, "png").data, "image/png")), ("b", ("b.jpg", image, "image/jpeg"))]
    found = await http.post(f"/e/{name}/eye/in", files=files, headers=eye)
    assert found.status_code == 202 and len(found.json()["ids"]) == 2
    samples = bytes(range(200))
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples)
    found = await http.post(f"/e/{name}/ear/in?wait=10s", content=written.getvalue(), headers={**ear, "Content-Type": "audio/wav"})
    assert found.headers["content-type"] == "audio/wav" and found.content.endswith(samples)
    raw = {**ear, "Content-Type": "audio/pcm;rate=8000"}
    assert (await http.post(f"/e/{name}/ear/in?wait=10s", content=samples, headers=raw)).content.endswith(samples)
    wrong = await http.post(f"/e/{name}/ear/in", content=samples, headers={**ear, "Content-Type": "audio/pcm;rate=44100"})
    assert (wrong.status_code, wrong.json()["error"]["path"]) == (422, "$.rate")
    await until_out(session, name, 1, "see")
    await until_out(session, name, 2, "hear")
    newest = await http.get(f"/e/{name}/see/out", headers={**see, "Accept": "image/jpeg"})
    assert newest.headers["content-type"] == "image/jpeg" and newest.content.startswith(b"\xff\xd8")
    bare = await http.get(f"/e/{name}/hear/out?format=pcm", headers=hear)
    assert bare.content == samples and bare.headers["content-type"] == "audio/pcm;rate=8000;channels=1"
    async with connect(f"{str(http.base_url).replace('http', 'ws')}/e/{name}/see/out?from=start", additional_headers=see) as frames:
        assert isinstance(await frames.recv(), bytes)


def _door(kind: str) -> dict[str, Any]:
    return {"component": "http-in@1.0.0", "params": {"type": kind}}


async def _split(session: Session) -> tuple[str, str, dict[str, str]]:
    """A backend whose answers are as many as are asked for; its URL and the header that opens it."""
    vertices = {"door": _door("record{who: int, pieces: int}"), "split": {"component": "split@1.0.0", "on_error": "dead-letter"}}
    vertices |= {"even": {"component": "even@1.0.0"}, "show": SHOW}
    name = await deploy(session, vertices, "door.out -> split.in", "split.out -> even.in", "even.out -> show.in")
    await until_running(session, name)
    return name, f"/e/{name}/door/in", {"Authorization": f"Bearer {await token_for(session, name, 'door.in')}"}


async def test_a_request_is_answered_with_what_the_graph_made_of_it(session: Session, http: httpx.AsyncClient) -> None:
    _, url, go_in = await _split(session)
    one = await http.post(f"{url}?wait=10s", json={"who": 1, "pieces": 1}, headers=go_in)
    assert (one.status_code, one.json()) == (200, {"who": 1, "piece": 0})
    several = await http.post(f"{url}?wait=10s", json={"who": 2, "pieces": 7}, headers=go_in)
    assert [piece["piece"] for piece in several.json()] == [0, 2, 4, 6]
    none = await http.post(f"{url}?wait=10s", json={"who": 3, "pieces": 0}, headers=go_in)
    assert (none.status_code, none.content) == (204, b"")
    failed = await http.post(f"{url}?wait=10s", json={"who": 4, "pieces": -1}, headers=go_in)
    error = failed.json()["error"]
    assert (failed.status_code, error["vertex"]) == (502, "split") and "-1 pieces" in error["reason"]
    both = await http.post(f"{url}?wait=10s", json=[{"who": 5, "pieces": 2}, {"who": 6, "pieces": 3}], headers=go_in)
    assert both.json() == [{"who": 5, "piece": 0}, {"who": 6, "piece": 0}, {"who": 6, "piece": 2}]
    assert (await http.post(f"{url}?wait=5s&answer=nobody", json={"who": 7, "pieces": 1}, headers=go_in)).status_code == 409
    again = await http.get(f"{url}/{several.headers['Tw-Id']}?wait=5s", headers=go_in)
    assert again.json() == several.json()
    assert (await http.get(f"{url}/{none.headers['Tw-Id']}", headers=go_in)).status_code == 204
    assert (await http.get(f"{url}/{failed.headers['Tw-Id']}", headers=go_in)).status_code == 502
    assert (await http.get(f"{url}/nonsense", headers=go_in)).status_code == 404


async def test_two_hundred_callers_at_once_get_their_own_answers(session: Session, http: httpx.AsyncClient) -> None:
    _, url, go_in = await _split(session)

    async def ask(who: int) -> bool:
        found = await http.post(f"{url}?wait=30s", json={"who": who, "pieces": who % 5}, headers=go_in)
        pieces = [{"who": who, "piece": piece} for piece in range(0, who % 5, 2)]
        if not pieces:
            return found.status_code == 204
        return bool(found.json() == (pieces if len(pieces) > 1 else pieces[0]))

    assert all(await asyncio.gather(*(ask(who) for who in range(200))))


async def test_an_answer_that_is_late_can_be_asked_for_again(session: Session, http: httpx.AsyncClient) -> None:
    vertices = {"door": DOOR, "slow": {"component": "slow@1.0.0"}, "show": SHOW}
    name = await deploy(session, vertices, "door.out -> slow.in", "slow.out -> show.in")
    await until_running(session, name)
    url, go_in = f"/e/{name}/door/in", {"Authorization": f"Bearer {await token_for(session, name, 'door.in')}"}
    late = await http.post(f"{url}?wait=50ms", json={"n": 1, "x": 2}, headers=go_in)
    assert (late.status_code, late.json()["error"]["code"]) == (504, "answer.late")
    again = await http.get(f"{late.headers['Location']}?wait=30s", headers=go_in)
    assert again.json() == {"n": 1, "x": 2.0}


async def test_a_vertex_that_fails_is_told_to_who_waits(session: Session, http: httpx.AsyncClient) -> None:
    vertices = {"door": _door("record{who: int, pieces: int}"), "split": {"component": "split@1.0.0"}, "show": SHOW}
    name = await deploy(session, vertices, "door.out -> split.in", "split.out -> show.in")
    await until_running(session, name)
    go_in = {"Authorization": f"Bearer {await token_for(session, name, 'door.in')}"}
    failed = await http.post(f"/e/{name}/door/in?wait=30s", json={"who": 4, "pieces": -1}, headers=go_in)
    assert (failed.status_code, failed.json()["error"]["vertex"]) == (502, "split"), failed.text


async def test_url_and_token_outlive_redeploys_and_deployments(session: Session, http: httpx.AsyncClient) -> None:
    vertices: dict[str, Any] = {"door": DOOR, "double": DOUBLE, "show": SHOW}
    edges = ("door.out -> double.in", "double.out -> show.in")
    name = await deploy(session, vertices, *edges, aliases={"orders": "door.in"})
    url, go_in = f"/e/{name}/door/in", {"Authorization": f"Bearer {await token_for(session, name, 'orders')}"}

    async def answered(at: str, wanted: dict[str, Any]) -> None:
        async def is_answered() -> bool:
            found = await http.post(f"{at}?wait=10s", json={"n": 4, "x": 0}, headers=go_in)
            return found.status_code == 200 and found.json() == wanted

        await until(is_answered)

    await answered(url, {"twice": 8, "x": 0.0})
    await answered(f"/a/{name}/orders", {"twice": 8, "x": 0.0})

    async def is_all_out() -> bool:
        found = await vertices_of(session, name)
        return found["show"].records_out == found["door"].records_in

    await until(is_all_out)  # what the redeployed vertex cannot read would fail it
    change = SetParam(vertex="double", path="fields", value={"thrice": "n * 3"})
    await session.ask(EDIT, Edit(backend=name, author="ada", operations=[change]))
    await session.ask(REDEPLOY, Redeploy(name=name))
    await answered(url, {"thrice": 12})
    await session.ask(DEPLOY, Deploy(backend=name, name=f"{name}-beside", revision=1))
    await answered(url, {"twice": 8, "x": 0.0})
    await answered(f"/e/{name}-beside/door/in", {"twice": 8, "x": 0.0})
    found = {one.name: one.current for one in (await session.ask(STATUS, MaybeNamed())).deployments}
    assert (found[name], found[f"{name}-beside"]) == (False, True)
    for each in (name, f"{name}-beside"):
        await session.ask(UNDEPLOY, Undeploy(name=each, discard=True))
    assert (await http.post(url, json={"n": 4, "x": 0}, headers=go_in)).status_code in (202, 503)

    async def is_away() -> bool:
        found = await http.post(url, json={"n": 4, "x": 0}, headers=go_in)
        return found.status_code == 503 and "Retry-After" in found.headers

    await until(is_away)

    async def is_free() -> bool:
        return all(one.report is not None for one in (await session.ask(STATUS, MaybeNamed(name=name))).deployments)

    await until(is_free)
    await session.ask(DEPLOY, Deploy(backend=name))
    await answered(url, {"thrice": 12})


async def test_a_deploy_that_was_broken_off_is_finished_by_who_cares_for_it(session: Session) -> None:
    name, _, _ = await _doubling(session)
    spec = await load_deployment(session.client, "default", name)
    # What is there when a coordinator dies between its two writes.
    later = msgspec.structs.replace(spec, name=f"{name}-later", deployed_ns=spec.deployed_ns + 1)
    await store_deployment(session.client, later, expected=0)

    async def leads_there() -> bool:
        listed = (await session.ask(LIST, MaybeOfBackend(backend=name))).endpoints
        return {one.deployment for one in listed} == {f"{name}-later"}

    await until(leads_there)


async def test_what_a_lease_tries_takes_no_caller_over(session: Session, http: httpx.AsyncClient) -> None:
    name, go_in, _ = await _doubling(session)
    lease = (await session.ask(OPEN, Open(author="ada"))).id
    await session.ask(DEPLOY, Deploy(backend=name, name=f"{name}-tried", lease=lease))
    own = await deploy(session, {"door": DOOR, "show": SHOW}, "door.out -> show.in", lease=lease)
    await until_running(session, f"{name}-tried")

    async def ids(at: str) -> str:
        found = await http.post(f"/e/{at}/door/in?wait=10s", json={"n": 1, "x": 0}, headers=go_in)
        return str(found.status_code)

    assert [await ids(name), await ids(f"{name}-tried")] == ["200", "200"]
    found = {one.name: one.current for one in (await session.ask(STATUS, MaybeNamed())).deployments}
    assert (found[name], found[f"{name}-tried"], found[own]) == (True, False, True)
    await session.ask(ROLLBACK, End(id=lease))

    async def is_gone() -> bool:
        listed = (await session.ask(LIST, MaybeOfBackend())).endpoints
        return own not in {one.backend for one in listed}

    await until(is_gone)
    assert {one.deployment for one in (await session.ask(LIST, MaybeOfBackend(backend=name))).endpoints} == {name}


async def test_the_command_shows_endpoints_and_makes_tokens(session: Session, place: Served) -> None:
    name, _, _ = await _doubling(session)
    listed = json.loads(place.command("endpoint", "list", name, "--json").stdout)
    assert listed and {one["side"] for one in listed} == {"in", "out"}
    one = next(one for one in listed if one["deployment"] and one["side"] == "in")
    rotated = place.command("endpoint", "rotate", one["backend"], f"{one['vertex']}.{one['endpoint']}", "--grace", "5")
    assert rotated.returncode == 0 and rotated.stdout.startswith("twe_")
    shown = place.command("endpoint", "show", one["backend"], f"{one['vertex']}.{one['endpoint']}")
    assert one["path"] in shown.stdout and rotated.stdout.strip() not in shown.stdout
    assert place.command("endpoint", "rotate", one["backend"], "nobody.in").returncode == 3


async def test_what_crosses_the_boundary_is_what_the_asyncapi_document_says(
    session: Session, place: Served, http: httpx.AsyncClient
) -> None:
    name, go_in, _ = await _doubling(session)
    await http.post(f"/e/{name}/door/in", json={"n": 4, "x": 0}, headers=go_in)
    await until_out(session, name, 1)
    document = json.loads(place.command("asyncapi", name).stdout)
    by_subject = {one["address"]: channel for channel, one in document["channels"].items()}
    assert document["operations"][by_subject[subjects.inlet("default", name, "door")]]["action"] == "receive"
    log = subjects.stream("default", name)
    for subject in (subjects.outlet("default", name, "show"), subjects.port("default", name, "double", "out")):
        message = document["components"]["messages"][by_subject[subject]]
        found = await session.client.jetstream().get_last_msg(log, subject)
        assert found.data is not None
        Draft202012Validator(message["payload"]["schema"]).validate(msgpack.unpackb(found.data))
        Draft202012Validator(message.get("headers", True)).validate(found.headers)


async def test_the_examples_of_the_document_work(session: Session, place: Served, http: httpx.AsyncClient, tmp_path: Path) -> None:
    found = [textwrap.dedent(one) for one in re.findall(r"(?:^ {4}.*\n|^\n)+", "".join(one.read_text() for one in DOCS), re.MULTILINE)]
    document = yaml.safe_load(next(one for one in found if one.strip().startswith("backend:")))
    vertices, edges = document["vertices"], document["edges"]
    name = await deploy(session, vertices, *edges, backend=document["backend"], aliases=document["aliases"])
    await until_running(session, name)
    scope: dict[str, Any] = {}
    exec(next(one for one in found if "async def double" in one), scope)
    assert await scope["double"](place.stack.nats_url, [1, 2, 3]) == [{"n": n, "twice": 2 * n} for n in (1, 2, 3)]
    go_in = {"Authorization": f"Bearer {await token_for(session, name, 'orders')}"}
    answer = await http.post(f"/a/{name}/orders?wait=10s", json={"n": 4}, headers=go_in)
    assert answer.json() == {"n": 4, "twice": 8}
    packages = install(tmp_path, "@nats-io/transport-node@3", "@nats-io/jetstream@3", "@msgpack/msgpack@3")
    (packages.parent / "client.mjs").write_text(next(one for one in found if "transport-node" in one))
    words = ["node", str(packages.parent / "client.mjs")]
    client = await asyncio.create_subprocess_exec(*words, env=place.environment, stdout=PIPE, stderr=PIPE)
    said, errors = await asyncio.wait_for(client.communicate(), 60)
    assert client.returncode == 0 and json.loads(said) == {"n": 21, "twice": 42}, errors.decode()
