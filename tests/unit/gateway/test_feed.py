"""What is on its way to an output endpoint, read before it has left."""

from __future__ import annotations

from typing import Any

import pytest

from thalweg.bus.follower import Delivered
from thalweg.bus.heads import StoredMessage
from thalweg.wire import subjects
from thalweg.wire.batch import encode_batch
from thalweg.wire.boundary import RECORDS_HEADER
from thalweg.wire.spec import DeploymentSpec, EdgeSpec, VertexSpec
from thalweg_gateway import feed as module
from thalweg_gateway.feed import MAX_MESSAGES, Feed

PLACE = ("w", "d")


def spec(shown: str = "int", component: str = "http-out@1.0.0") -> DeploymentSpec:
    made = VertexSpec("b", "c@1", "", "", "processor", outputs={"out": "int"})
    edge = EdgeSpec("b", "out", "in", shown)
    return DeploymentSpec(
        *PLACE, "g", [made, VertexSpec("show", component, "", "", "sink", inputs=[edge], outputs={"out": shown}, endpoint="out")]
    )


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> dict[int, bytes]:
    """Bodies by sequence."""
    bodies: dict[int, bytes] = {}

    async def get(client: Any, stream: str, query: dict[str, int]) -> StoredMessage | None:
        found = bodies.get(query["seq"])
        return None if found is None else StoredMessage("", query["seq"], {}, found, None)

    monkeypatch.setattr(module, "get_message", get)
    return bodies


def write(feed: Feed, log: dict[int, bytes], sequence: int, values: bytes, roots: list[int], *, is_wanted: bool = True) -> None:
    """A message of the vertex before the output endpoint; each value is one byte."""
    count = len(values)
    parts = [bytes([value]) for value in values]
    log[sequence] = encode_batch(parts, [0] * count, list(range(900, 900 + count)), 0, None, roots)
    headers = {RECORDS_HEADER: str(count)}
    feed.take(Delivered(subjects.port(*PLACE, "b", "out"), sequence, headers, b""), is_wanted=is_wanted)


async def test_the_records_of_a_request_are_told_in_order_and_no_others(log: dict[int, bytes]) -> None:
    feed = Feed(None, spec())  # type: ignore[arg-type]
    write(feed, log, 11, b"\x01\x02\x03", [7, 8, 7])
    write(feed, log, 12, b"\x04", [7])
    assert await feed.records("show", {7}, 10) == [b"\x01", b"\x03", b"\x04"]
    assert await feed.records("show", {7}, 11) == [b"\x04"]
    assert await feed.records("show", {9}, 10) == []


async def test_what_was_not_kept_is_not_told(log: dict[int, bytes]) -> None:
    feed = Feed(None, spec())  # type: ignore[arg-type]
    write(feed, log, 11, b"\x01", [7], is_wanted=False)
    write(feed, log, 12, b"\x02", [8])
    assert await feed.records("show", {7}, 10) is None
    assert await feed.records("show", {8}, 11) == [b"\x02"]
    write(feed, log, 13, b"\x03", [7])
    del log[13]
    assert await feed.records("show", {7}, 12) is None, "trimmed before it was read"
    for sequence in range(14, 15 + MAX_MESSAGES):
        write(feed, log, sequence, b"\x05", [5])
    assert await feed.records("show", {5}, 13) is None and await feed.records("show", {5}, 20) is not None


def test_only_an_endpoint_that_passes_records_on_as_they_are_is_foretold() -> None:
    assert Feed(None, spec()).covers("show")  # type: ignore[arg-type]
    assert not Feed(None, spec("float")).covers("show")  # type: ignore[arg-type]
    assert not Feed(None, spec(component="mine@1.0.0")).covers("show")  # type: ignore[arg-type]
