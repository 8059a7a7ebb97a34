"""The camera's page in a real Chromium whose camera is a moving test picture."""

from __future__ import annotations

import asyncio
import json
import shutil
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from integration.npm import install
from integration.served import Served, deploy, gateway_of, served, token_for, until_running
from thalweg.client import Session

DOOR: dict[str, Any] = {"component": "http-in@1.0.0", "params": {"type": "image<jpeg>"}}
FRAMES = 20


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


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script that drives the browser, beside what it imports."""
    folder = install(tmp_path_factory.mktemp("npm"), "playwright-core@1.64.1").parent
    return Path(shutil.copy(Path(__file__).with_name("camera.mjs"), folder))


async def look(driver: Path, url: str, frames: int) -> dict[str, Any]:
    """What the page shows after some frames, or once it has given up."""
    chromium = shutil.which("chromium")
    assert chromium is not None, "this test needs Chromium: apt-get install chromium"
    words = ["node", str(driver), chromium, url, str(frames), str(driver.with_suffix(".png"))]
    browser = await asyncio.create_subprocess_exec(*words, stdout=PIPE, stderr=PIPE, cwd=driver.parent)
    said, errors = await asyncio.wait_for(browser.communicate(), 120)
    assert browser.returncode == 0, errors.decode()
    found: dict[str, Any] = json.loads(said)
    return found


async def test_frames_of_a_camera_go_in_and_what_becomes_of_them_is_shown(session: Session, gateway: str, driver: Path) -> None:
    vertices = {"door": DOOR, "gray": {"component": "color@1.0.0", "params": {"to": "gray"}}, "show": {"component": "http-out@1.0.0"}}
    name = await deploy(session, vertices, "door.out -> gray.in", "gray.out -> show.in")
    await until_running(session, name)
    token = await token_for(session, name, "door.in")
    found = await look(driver, f"{gateway}/cam/{name}/door/in#token={token}", FRAMES)
    assert int(found["answered"]) >= FRAMES and not found["said"] and not found["log"], found
    assert float(found["rate"]) > 0 and found["trip"].endswith(" ms")
    sent, back = found["sent"], found["back"]
    assert sent["widest"] > 100 and back["widest"] <= 4 and back["brightest"] > 50, "the camera is coloured, its answer gray"
    assert (back["width"], back["height"]) == (640, 480)
    assert set(found["asked"]) == {f"{gateway}/cam/{name}/door/in", f"{gateway}/e/{name}/door/in?wait=10s"}
    assert found["location"] == f"{gateway}/cam/{name}/door/in" and token not in json.dumps(found)


async def test_a_page_without_a_valid_token_says_so_and_stops(session: Session, gateway: str, driver: Path) -> None:
    found = await look(driver, f"{gateway}/cam/nothing/door/in#token=twe_wrong", 1)
    assert found["said"].startswith("401 token.refused") and found["answered"] == "0"


def test_the_page_may_load_nothing_from_elsewhere(gateway: str) -> None:
    found = httpx.get(f"{gateway}/cam/any/door/in")
    assert found.status_code == 200 and found.headers["content-type"].startswith("text/html")
    policy = dict(one.strip().split(" ", 1) for one in found.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'" and policy["connect-src"] == "'self'"
    assert "unsafe" not in found.headers["content-security-policy"] and "://" not in found.text
