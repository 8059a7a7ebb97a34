"""The gateway as callers see it: a process of its own over real servers, asked by HTTP clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import msgpack
import pytest

from integration.served import Served, deploy, gateway_of, served, token_for, until_running
from thalweg.client import Session

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
    async with place.session() as found:
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
    newest = await http.get(f"/e/{name}/show/out", headers=out)
    assert newest.json() == {"twice": 14, "x": 1.5} and newest.headers["Tw-Number"] == "7"
