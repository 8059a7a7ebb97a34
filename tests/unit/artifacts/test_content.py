"""Files are checked against their declared types, and described."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thalweg.artifacts.content import check_content, describe_content, guess_type
from thalweg.errors import RejectedError
from thalweg.graph.files import DIRECTORY_TYPES, FILE_TYPES

EXAMPLES = Path(__file__).parents[3] / "examples"
VIDEO, TABLE = EXAMPLES / "video/data/bigbuckbunny.mp4", EXAMPLES / "weather/data/seattle-weather.csv"
PIXELS = np.random.default_rng(1).integers(0, 255, (24, 32, 3), dtype=np.uint8)


def refused(path: Path, kind: str, **options: Any) -> RejectedError:
    """The error that refuses it, which is one line."""
    with pytest.raises(RejectedError) as caught:
        check_content(path, kind, **options)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, bytes | str], Path]:
    """Writes a file."""

    def write(name: str, content: bytes | str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def picture(suffix: str) -> bytes:
    return cv2.imencode(suffix, PIXELS)[1].tobytes()


def test_the_example_files_are_what_they_are() -> None:
    check_content(TABLE, "csv")
    columns = describe_content(TABLE, "csv")["columns"]
    assert (columns["date"], columns["wind"], columns["weather"]) == ("timestamp", "float", "str")
    check_content(VIDEO, "video")
    facts = describe_content(VIDEO, "video")
    assert (facts["codec"], facts["width"] > 0, facts["fps"] > 0, facts["duration_s"] > 0) == ("h264", True, True, True)
    assert [guess_type(one) for one in (TABLE, VIDEO)] == ["csv", "video"]


@pytest.mark.parametrize(
    ("kind", "content", "where"),
    [
        ("csv", "", "x: the file is empty"),
        ("csv", "a,b\n1,2\n3\n", "row 2: has 1 cells"),
        ("csv", "a,a\n1,2\n", "header: column 'a'"),
        ("csv", b"a,b\n1,\xff\n", "line 2: byte 0xff"),
        ("csv", 'a,b\n1,"2\n', "line 2: unexpected end of data"),
        ("csv", b"a,b\n\0,2\n", "line 2: a NUL byte"),
        ("jsonl", '{"a": 1}\n{"a": \n', "line 2: "),
        ("jsonl", "\n \n", "x: there is no line"),
        ("json", '{"a": 1,}', "x: JSON is malformed"),
        ("json", b'"\xff"', "byte 1: "),
        ("json", "", "x: the file is empty"),
        ("text", b"abc\xc3", "byte 3: "),
        ("text", b"a\0", "byte 1: a NUL"),
        ("parquet", "PAR1", "x: no Parquet"),
        ("image", "no image", "x: no image"),
        ("video", "no video", "x: no video"),
        ("audio", "no audio", "x: no audio"),
        ("onnx", "no model", "x: no ONNX model"),
        ("archive", "no archive", "x: no archive"),
        ("image-directory", "", "x: image-directory is a directory"),
    ],
)
def test_other_content_is_refused_in_one_line_that_says_where(
    put: Callable[..., Path], kind: str, content: bytes | str, where: str
) -> None:
    error = refused(put("x", content), kind)
    assert (error.code, str(error).startswith(where)) == ("file.content_mismatch", True), str(error)


def test_the_fault_of_a_late_byte_has_its_offset(put: Callable[..., Path]) -> None:
    assert str(refused(put("x", "ä" * (1 << 20) + "\n" + "x" * 7 + "\0"), "text")).startswith(f"byte {(2 << 20) + 8}: ")
    assert str(refused(put("y", b"x" + "ä".encode() * (1 << 20) + b"\xff"), "text")).startswith(f"byte {(2 << 20) + 1}: ")


def test_faulty_rows_can_be_left_to_the_run(put: Callable[..., Path]) -> None:
    ragged = put("ragged.csv", b"a,b\n1\n\xff,2\n")
    check_content(ragged, "csv", rows=False)
    assert describe_content(ragged, "csv") == {"columns": {"a": "int", "b": "str?"}}
    check_content(put("faulty.jsonl", "{\n"), "jsonl", rows=False)
    assert refused(put("empty.csv", ""), "csv", rows=False).code == "file.content_mismatch"


def test_other_delimiters_byte_order_marks_and_quoted_lines_are_csv(put: Callable[..., Path]) -> None:
    path = put("x.csv", '\ufeffid;name\n1;"two\nlines"\n\n2;\n')
    check_content(path, "csv")
    assert describe_content(path, "csv") == {"columns": {"id": "int", "name": "str?"}}


def test_json_of_every_shape_is_taken(put: Callable[..., Path]) -> None:
    check_content(put("x.json", json.dumps({"a": [1, None, "é"]})), "json")
    check_content(put("x.jsonl", '{"a": 1}\n\n[1, 2]'), "jsonl")


def test_a_large_file_is_checked_in_bounded_memory(tmp_path: Path) -> None:
    lines, table = tmp_path / "large.jsonl", tmp_path / "large.csv"
    with lines.open("w") as out, table.open("w") as rows:
        rows.write("a,b\n")
        for _ in range(200):
            out.write('{"a": "' + "x" * 1000 + '"}\n')
            rows.write("1," + "x" * 1000 + "\n")
    check_content(lines, "jsonl")
    check_content(table, "csv")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path, head in ((lines, ""), (table, "a,b\n")):
        block = path.read_text().removeprefix("a,b\n")
        with path.open("w") as out:
            out.write(head)
            for _ in range(150):
                out.write(block)
    check_content(lines, "jsonl")
    check_content(table, "csv")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16_000  # KiB; each file has 30 MB


def test_parquet_columns_have_stream_types(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    fields = [pa.field("id", pa.int64(), nullable=False), ("at", pa.timestamp("us", tz="UTC")), ("odd", pa.time32("s"))]
    pq.write_table(pa.table({"id": [1], "at": [0], "odd": [0]}, schema=pa.schema(fields)), path)
    check_content(path, "parquet")
    assert describe_content(path, "parquet") == {"columns": {"id": "int", "at": "timestamp?", "odd": "unsupported"}}
    path.write_bytes(path.read_bytes()[:-20])
    assert refused(path, "parquet").code == "file.content_mismatch"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tiff"])
def test_images_are_measured_and_cut_ones_refused(put: Callable[..., Path], suffix: str) -> None:
    data = picture(suffix)
    path = put(f"x{suffix}", data)
    check_content(path, "image")
    facts = describe_content(path, "image")
    assert (facts["width"], facts["height"], guess_type(path)) == (32, 24, "image")
    if suffix in (".png", ".jpg"):
        assert "ends early" in str(refused(put(f"cut{suffix}", data[: len(data) // 2]), "image"))


def test_a_damaged_png_is_refused(put: Callable[..., Path]) -> None:
    data = bytearray(picture(".png"))
    data[60] ^= 1
    assert "chunk IDAT is damaged" in str(refused(put("x.png", bytes(data)), "image"))


def test_a_directory_of_images_names_the_file_that_is_none(put: Callable[..., Path]) -> None:
    folder = put("images/a.png", picture(".png")).parent
    put("images/.hidden", "x")
    check_content(folder, "image-directory")
    assert (describe_content(folder, "image-directory"), guess_type(folder)) == ({"image_count": 1}, "image-directory")
    put("images/b.png", "x")
    assert str(refused(folder, "image-directory")).startswith("b.png: no image")
    assert guess_type(folder) == "directory"


def test_a_cut_video_is_refused(put: Callable[..., Path]) -> None:
    data = VIDEO.read_bytes()
    assert refused(put("x.mp4", data[: len(data) // 2]), "video").code == "file.content_mismatch"


@pytest.mark.parametrize("text", ["ffconcat version 1.0\nfile /etc/passwd\n", "#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "plain text\n" * 50])
def test_a_play_list_or_text_is_no_video(put: Callable[..., Path], text: str) -> None:
    assert refused(put("x.mp4", text), "video").code == "file.content_mismatch"


def test_audio_is_described_and_video_is_none(put: Callable[..., Path]) -> None:
    head = b"RIFF" + (36 + 16000).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little") + b"\1\0\1\0"
    head += (8000).to_bytes(4, "little") + (16000).to_bytes(4, "little") + b"\2\0\x10\0" + b"data" + (16000).to_bytes(4, "little")
    path = put("x.wav", head + bytes(16000))
    check_content(path, "audio")
    assert describe_content(path, "audio") == {"codec": "pcm_s16le", "rate": 8000, "channels": 1, "duration_s": 1.0}
    assert guess_type(path) == "audio"
    assert refused(VIDEO, "audio").code == "file.content_mismatch"


def _message(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return bytes([number << 3, content])
    return bytes([number << 3 | 2, len(content)]) + content


def _value(name: str) -> bytes:
    shape = _message(1, _message(2, b"batch")) + _message(1, _message(1, 4))
    return _message(1, name.encode()) + _message(2, _message(1, _message(1, 1) + _message(2, shape)))


def test_a_model_tells_its_inputs_and_outputs(put: Callable[..., Path]) -> None:
    graph = _message(5, _message(8, b"weight")) + _message(11, _value("x")) + _message(11, _value("weight")) + _message(12, _value("y"))
    model = _message(1, 8) + _message(7, graph) + _message(8, _message(2, 13))
    path = put("x.onnx", model)
    check_content(path, "onnx")
    assert describe_content(path, "onnx") == {"inputs": {"x": "tensor<float32,?x4>"}, "outputs": {"y": "tensor<float32,?x4>"}}
    for cut in range(len(model)):
        assert refused(put("cut.onnx", model[:cut]), "onnx").code == "file.content_mismatch"


def test_a_classifier_tells_of_its_map_and_a_size_of_minus_one_is_free(put: Callable[..., Path]) -> None:
    assert describe_content(EXAMPLES / "library/data/logreg_iris.onnx", "onnx") == {
        "inputs": {"float_input": "tensor<float32,3x2>"},
        "outputs": {"label": "tensor<int64,3>", "probabilities": "list[map[float]]"},
    }
    minus_one = bytes([8]) + b"\xff" * 9 + b"\x01"
    value = _message(1, b"y") + _message(2, _message(1, _message(1, 1) + _message(2, _message(1, minus_one))))
    path = put("x.onnx", _message(1, 8) + _message(7, _message(12, value)) + _message(8, _message(2, 13)))
    assert describe_content(path, "onnx") == {"inputs": {}, "outputs": {"y": "tensor<float32,?>"}}


def test_a_model_repository_is_a_directory(put: Callable[..., Path]) -> None:
    put("models/iris/config.pbtxt", 'name: "iris"')
    folder = put("models/iris/2/model.onnx", b"x").parents[2]
    check_content(folder, "model-repository")
    assert (describe_content(folder, "model-repository"), guess_type(folder)) == ({"models": {"iris": [2]}}, "model-repository")
    put("models/other/1/model.onnx", b"x")
    assert str(refused(folder, "model-repository")) == "other: has no config.pbtxt"
    put("models/other/config.pbtxt", "")
    (folder / "other/1/model.onnx").unlink()
    assert str(refused(folder, "model-repository")) == "other/1: has no model file"


@pytest.mark.parametrize("kind", sorted(FILE_TYPES | DIRECTORY_TYPES))
def test_every_type_can_be_checked(put: Callable[..., Path], kind: str) -> None:
    if kind in ("bytes", "text", "csv", "jsonl"):
        check_content(put("x", "1"), kind)
    else:
        assert refused(put("x", "x"), kind).code == "file.content_mismatch"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "nothing", "csv").code == "artifact.not_storable"


def test_a_type_that_does_not_exist_is_refused(put: Callable[..., Path]) -> None:
    assert refused(put("x", "x"), "pickle").code == "file.unknown_type"


def test_what_is_not_known_is_text_or_bytes(put: Callable[..., Path]) -> None:
    assert [guess_type(put("x", one)) for one in ("é" * 4000, b"x" + "é".encode() * 4000, b"\xff\xfe", b"a\0")] == [
        "text",
        "text",
        "bytes",
        "bytes",
    ]
    assert guess_type(put("x.jsonl", "{}")) == "jsonl"
    assert guess_type(put("x.csv", picture(".png"))) == "image"


def test_what_would_wait_for_a_writer_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(RejectedError, match="neither a file nor a directory") as caught:
        guess_type(tmp_path / "pipe.csv")
    assert caught.value.code == "file.content_mismatch"
