"""A recorded port becomes a file of the kind that its ending names."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from thalweg import Audio, Image
from thalweg.errors import RejectedError, RunFailedError
from thalweg.replay.reader import Replay
from thalweg.replay.recorder import Recorder
from thalweg.wire.batch import encode_batch
from thalweg.wire.commit import HEADER, Commit, encode_commit
from thalweg.wire.logged import Logged
from thalweg.wire.spec import DeploymentSpec, VertexSpec
from thalweg_cli.exporting import check_ending, frame_rate, write_port
from unit.replay.logs import ABOUT


def _replay(path: Path, kind: str, values: list[Any], step_ns: int = 1) -> Replay:
    """Of one port, in messages of two records."""
    spec = DeploymentSpec("w", "d", "b", [VertexSpec("v", "c@1", "", "", "source", outputs={"out": kind})], capture="all")
    one = Recorder(path, ABOUT, msgspec.json.encode(spec), lambda vertex, port: kind, is_gapless=True)
    for number in range(0, len(values), 2):
        some = values[number : number + 2]
        ids = list(range(number, number + len(some)))
        body = encode_batch([msgspec.msgpack.encode(value) for value in some], [at * step_ns for at in ids], ids, 0, None)
        sequence = number // 2 + 1
        one.add(Logged("tw.w.d.v.v.out.0", sequence, 10**18, {HEADER: encode_commit(Commit(1, sequence))}, body))
    one.seal({}, None)
    return Replay(path)


def test_records_become_lines_and_tables(tmp_path: Path) -> None:
    rows = [{"n": n, "x": n / 2} for n in range(5001)]
    replay = _replay(tmp_path / "a.mcap", "record{n: int, x: float}", rows)
    assert write_port(replay, "v", "out", tmp_path / "new" / "a.jsonl") == 5001
    assert [json.loads(line) for line in (tmp_path / "new" / "a.jsonl").read_text().splitlines()] == rows
    assert write_port(replay, "v", "out", tmp_path / "a.PARQUET") == 5001
    assert pq.read_table(tmp_path / "a.PARQUET").to_pylist() == rows
    assert write_port(replay, "v", "out", tmp_path / "a.csv") == 5001
    assert (tmp_path / "a.csv").read_text().splitlines()[:2] == ["n,x", "0,0.0"]


def test_images_become_a_video_at_their_own_rate_or_a_directory(tmp_path: Path) -> None:
    images = [Image.from_array(np.full((16, 32, 3), n * 20, np.uint8), "png") for n in range(9)]
    replay = _replay(tmp_path / "a.mcap", "image", images, step_ns=100_000_000)
    assert write_port(replay, "v", "out", tmp_path / "a.mp4") == 9
    with av.open(str(tmp_path / "a.mp4")) as video:
        stream = video.streams.video[0]
        assert (str(stream.average_rate), stream.frames, stream.width, stream.height) == ("10", 9, 32, 16)
    assert write_port(replay, "v", "out", tmp_path / "images") == 9
    files = sorted((tmp_path / "images").iterdir())
    assert [one.name for one in files] == [f"{n:06d}.png" for n in range(9)] and files[3].read_bytes() == images[3].data
    with pytest.raises(RejectedError, match="holds something"):
        write_port(replay, "v", "out", tmp_path / "images")


def test_ordinals_are_no_times_to_take_a_frame_rate_from(tmp_path: Path) -> None:
    replay = _replay(tmp_path / "a.mcap", "int", [1, 2, 3])
    assert frame_rate(replay.records("v", "out")) == 25.0


def test_audio_becomes_one_sound(tmp_path: Path) -> None:
    pieces = [Audio("pcm16", 8000, 2, bytes([n, 0, n, 0] * 10)) for n in range(3)]
    replay = _replay(tmp_path / "a.mcap", "audio<8000,2>", pieces)
    assert write_port(replay, "v", "out", tmp_path / "a.wav") == 3
    with wave.open(str(tmp_path / "a.wav")) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getnframes()) == (8000, 2, 30)
        assert sound.readframes(30) == b"".join(one.data for one in pieces)
    mixed = _replay(tmp_path / "b.mcap", "audio", [*pieces, Audio("pcm16", 16_000, 2, b"")])
    with pytest.raises(RunFailedError, match="record 3: 16000 Hz"):
        write_port(mixed, "v", "out", tmp_path / "b.wav")
    assert not (tmp_path / "b.wav").exists()


@pytest.mark.parametrize(("kind", "ending"), [("int", "a.wav"), ("int", "a.mp4"), ("str", "images")])
def test_records_of_another_type_are_refused_by_type(tmp_path: Path, kind: str, ending: str) -> None:
    with pytest.raises(RejectedError) as caught:
        write_port(_replay(tmp_path / "a.mcap", kind, []), "v", "out", tmp_path / ending)
    assert caught.value.code == "type.unsupported"
    assert not (tmp_path / ending).exists()


def test_an_ending_that_nothing_is_known_of_is_refused() -> None:
    with pytest.raises(RejectedError) as caught:
        check_ending(Path("a.mov"))
    assert ".mp4" in (caught.value.hint or "")
