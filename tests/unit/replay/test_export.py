"""Exports: a message for each record, images as viewers of MCAP know them; read by a reader that is not ours."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import msgspec
import numpy as np
from jsonschema import Draft202012Validator
from mcap.reader import make_reader

from thalweg import Image
from thalweg.replay.export import Exporter
from thalweg.replay.reader import Replay
from thalweg.replay.recorder import Recorder
from thalweg.wire.batch import encode_batch
from thalweg.wire.commit import HEADER, Commit, encode_commit
from thalweg.wire.logged import Logged
from thalweg.wire.spec import DeploymentSpec, VertexSpec
from unit.replay.logs import ABOUT, log, record


def test_records_are_messages_that_fit_their_schema_at_their_event_times(tmp_path: Path) -> None:
    record(tmp_path / "a.mcap", log())
    assert Exporter(Replay(tmp_path / "a.mcap")).write(tmp_path / "b.mcap", [("source", "out"), ("blobs", "out")]) == 330
    with (tmp_path / "b.mcap").open("rb") as file:
        numbers = list(make_reader(file, validate_crcs=True).iter_messages(topics=["source.out"]))
    for index, (schema, _, message) in enumerate(numbers):
        assert schema is not None and message.log_time == index * 5 and message.publish_time > 10**18
        body = json.loads(message.data)
        Draft202012Validator(json.loads(schema.data)).validate(body)
        assert body["value"] == index


def test_images_are_of_the_schemas_that_viewers_know(tmp_path: Path) -> None:
    kind = "record{n: int, picture: image}"
    spec = DeploymentSpec("w", "d", "b", [VertexSpec("cam", "c@1", "", "", "source", outputs={"out": kind})], capture="all")
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    images = [Image.from_array(pixels, "png"), Image.from_array(pixels, "bgr8")]
    for index, image in enumerate(images):
        one = Recorder(tmp_path / f"{index}.mcap", ABOUT, msgspec.json.encode(spec), lambda vertex, port: kind, is_gapless=True)
        body = encode_batch([msgspec.msgpack.encode({"n": 1, "picture": image})], [1_500_000_000], [7], 0, None)
        one.add(Logged("tw.w.d.v.cam.out.0", 1, 10**18, {HEADER: encode_commit(Commit(1, 1))}, body))
        one.seal({}, None)
        assert Exporter(Replay(tmp_path / f"{index}.mcap")).write(tmp_path / f"{index}-out.mcap", [("cam", "out")]) == 1
        with (tmp_path / f"{index}-out.mcap").open("rb") as file:
            (shown,) = make_reader(file).iter_messages(topics=["cam.out.picture"])
        schema, _, message = shown
        found = json.loads(message.data)
        assert schema is not None
        Draft202012Validator(json.loads(schema.data)).validate(found)
        assert base64.b64decode(found["data"]) == image.data and found["timestamp"] == {"sec": 1, "nsec": 500_000_000}
        if image.format == "png":
            assert (schema.name, found["format"]) == ("foxglove.CompressedImage", "png")
        else:
            assert (schema.name, found["encoding"], found["step"]) == ("foxglove.RawImage", "bgr8", 18)
