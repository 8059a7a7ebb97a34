"""Where two replays part: the first record, on the most upstream port that differs, with both values in a few lines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from thalweg import Image
from thalweg.replay.compare import first_difference, upstream_first
from thalweg.replay.reader import Replay
from thalweg.replay.showing import plain, where_they_differ
from thalweg.wire.logged import Logged
from thalweg.wire.spec import EdgeSpec, VertexSpec
from unit.replay.logs import SPEC, log, record


def _changed(messages: list[Logged], old: int, new: int) -> list[Logged]:
    """With another value in place of one of the numbers."""
    packed = [msgspec.msgpack.encode(one) for one in (old, new)]
    assert len(packed[0]) == len(packed[1])
    found = []
    for message in messages:
        at = message.data.find(packed[0], 4) if ".source.out." in message.subject and message.data[4:13].find(packed[0]) >= 0 else -1
        found.append(message if at < 0 else replace(message, data=message.data[:at] + packed[1] + message.data[at + len(packed[0]) :]))
    return found


def test_the_first_record_that_differs_is_named_with_both_values(tmp_path: Path) -> None:
    record(tmp_path / "a.mcap", log())
    record(tmp_path / "b.mcap", _changed(log(), 201, 222))
    found = first_difference(Replay(tmp_path / "a.mcap"), Replay(tmp_path / "b.mcap"), [("blobs", "out"), ("source", "out")])
    assert found is not None and (found.vertex, found.port, found.index) == ("source", "out", 201)
    assert found.before is not None and found.after is not None
    assert (found.before.value, found.after.value, found.before.time_ns) == (201, 222, 1005)
    assert found.as_json()["kind"] == "changed"
    assert first_difference(Replay(tmp_path / "a.mcap"), Replay(tmp_path / "a.mcap"), [("source", "out")]) is None


def test_a_run_that_ended_early_misses_a_record_and_one_that_goes_on_adds_one(tmp_path: Path) -> None:
    messages = log()
    record(tmp_path / "a.mcap", messages)
    record(tmp_path / "b.mcap", messages[: len(messages) // 2])
    whole, half = Replay(tmp_path / "a.mcap"), Replay(tmp_path / "b.mcap")
    count = len(list(half.records("source", "out")))
    missing, added = first_difference(whole, half, [("source", "out")]), first_difference(half, whole, [("source", "out")])
    assert missing is not None and (missing.index, missing.as_json()["kind"], missing.after) == (count, "missing", None)
    assert added is not None and (added.index, added.as_json()["kind"], added.before) == (count, "added", None)
    assert "missing: it has ended before" in "\n".join(missing.lines())


def test_ports_are_looked_at_from_the_sources_on() -> None:
    def vertex(name: str, *sources: str) -> VertexSpec:
        return VertexSpec(
            name, "c@1", "", "", "processor", inputs=[EdgeSpec(one, "out", "in", "int") for one in sources], outputs={"out": ""}
        )

    spec = msgspec.structs.replace(SPEC, vertices=[vertex("last", "middle", "first"), vertex("middle", "first"), vertex("first")])
    assert upstream_first(spec) == [("first", "out"), ("middle", "out"), ("last", "out")]


def test_a_difference_is_told_by_its_place_in_the_record() -> None:
    before: dict[str, Any] = {"a": 1, "b": {"c": [1, 2, 3]}}
    assert where_they_differ(before, {"a": 1, "b": {"c": [1, 5, 3]}}) == "value.b.c[1]: 2, now 5"
    assert where_they_differ(before, {"a": 1, "b": {"c": [1, 2]}}) == "value.b.c: 3 items, now 2"
    assert where_they_differ(before, {"a": 1}) == "value.b: is missing"
    assert where_they_differ(1, 2) is None


def test_images_are_told_by_size_and_digest_and_by_the_first_pixel_that_differs() -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    one = msgspec.to_builtins(Image.from_array(pixels, "png"), builtin_types=(bytes,))
    pixels[2, 3] = (1, 2, 3)
    other = msgspec.to_builtins(Image.from_array(pixels, "png"), builtin_types=(bytes,))
    assert plain(one).startswith("image 6 x 4 png, ") and "sha256:" in plain(one)
    assert where_they_differ({"n": 1, "image": one}, {"n": 1, "image": other}) == "value.image: pixel (3, 2) was [0, 0, 0], is [1, 2, 3]"


def test_what_is_shown_is_bounded() -> None:
    shown = plain({"text": "x" * 10_000, "many": list(range(1000)), "bytes": bytes(5000)})
    assert len(str(shown)) < 700
    assert shown["bytes"].startswith("5,000 bytes sha256:")
