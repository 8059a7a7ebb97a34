"""The components of the video example, and those of images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from thalweg import Image, RecordError, RejectedError


@pytest.fixture(scope="module")
def film() -> Path:
    return Path(__file__).parents[3] / "examples/video/data/bigbuckbunny.mp4"


def test_every_frame_has_its_motion_and_the_film_is_the_same_twice(drive: Callable[..., Any], film: Path, tmp_path: Path) -> None:
    frames = drive("video-file-source", files={"video": film})
    assert [frame.index for frame in frames.out] == list(range(132))
    assert frames.times[1] == 40_000_000
    few = frames.out[:12]
    kind = frames.types["out"]
    motion = drive("motion", few, types={"in": kind})
    assert [one.index for one in motion.out] == list(range(12))
    assert any(one.boxes for one in motion.out)
    for method in ("difference", "background"):
        whole = drive("motion", few, types={"in": kind}, params={"method": method})
        assert drive("motion", few, types={"in": kind}, params={"method": method}, restart_at=5).out == whole.out
    boxes = "record{index: int, time: float, boxes: list[record{x: int, y: int, w: int, h: int, score: float}], scene_cut: bool}"
    drawn = drive(
        "draw", [{"frames": f, "detections": m} for f, m in zip(few, motion.out, strict=True)], types={"frames": kind, "detections": boxes}
    )
    assert len(drawn.out) == 12
    paths = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for path in paths:
        drive("video-file", drawn.out, types={"in": drawn.types["out"]}, generated={"file": path})
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with av.open(str(paths[0])) as container:
        assert sum(1 for _ in container.decode(video=0)) == 12


def test_jpegs_from_planes_have_the_colours_of_the_film(drive: Callable[..., Any], film: Path) -> None:
    jpeg = drive("video-file-source", files={"video": film}, cursor=130)
    exact = drive("video-file-source", files={"video": film}, cursor=130, params={"format": "bgr8"})
    assert [frame.index for frame in jpeg.out] == [130, 131]
    difference = np.abs(jpeg.out[0].image.to_array().astype(int) - exact.out[0].image.to_array())
    assert difference.mean() < 3


def test_a_truncated_film_names_the_frame(drive: Callable[..., Any], film: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.mp4"
    short.write_bytes(film.read_bytes()[:500_000])
    with pytest.raises(RecordError, match="frame 0"):
        drive("video-file-source", files={"video": short})


def test_a_directory_of_images_is_read_by_content(drive: Callable[..., Any], tmp_path: Path) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    folder = tmp_path / "images"
    drive(
        "image-directory",
        [Image.from_array(pixels, format="bgr8"), Image.from_array(pixels, format="png")],
        types={"in": "image"},
        generated={"directory": folder},
        params={"format": "png"},
    )
    (folder / "000002.jpg").write_bytes(b"no image")
    found = drive("image-directory-source", files={"directory": folder})
    assert [(one.name, one.index, one.image.width) for one in found.out] == [("000000.png", 0, 4), ("000001.png", 1, 4)]
    assert np.array_equal(found.out[0].image.to_array(), pixels)
    assert str(found.faults[0].error) == "image 2, file 000002.jpg: is neither JPEG nor PNG"
    (tmp_path / "empty").mkdir()
    with pytest.raises(RejectedError):
        drive("image-directory-source", files={"directory": tmp_path / "empty"})


@pytest.mark.parametrize(
    ("name", "params", "shape"),
    [
        ("resize", {"width": 2, "format": "bgr8"}, (2, 2, 3)),
        ("crop", {"width": 3, "height": 1, "format": "bgr8"}, (1, 3, 3)),
        ("color", {"to": "gray", "format": "gray8"}, (4, 4)),
    ],
)
def test_image_processors_take_images_and_frames(
    drive: Callable[..., Any], name: str, params: dict[str, Any], shape: tuple[int, ...]
) -> None:
    image = Image.from_array(np.full((4, 4, 3), 100, np.uint8), format="png")
    bare = drive(name, [image], types={"in": "image"}, params=params)
    assert bare.out[0].to_array().shape == shape
    framed = drive(name, [{"index": 3, "image": image}], types={"in": "record{index: int, image: image}"}, params=params)
    assert framed.out[0].index == 3
    assert framed.out[0].image == bare.out[0]
