"""Faces, QR codes and text in real images."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from thalweg import Image, RecordError, RejectedError
from thalweg.graph.types import STR, format_type

Drive = Callable[..., Any]
EXAMPLES = Path(__file__).parents[3] / "examples"
YUNET = EXAMPLES / "library/data/face_detection_yunet_2023mar.onnx"
PICTURES, PAPERS = EXAMPLES / "library/data/pictures", EXAMPLES / "documents/data"
FRAME = "record{index: int, image: image}"


def pixels_of(path: Path) -> Any:
    return cv2.imread(str(path))


def picture(pixels: Any) -> Image:
    return Image.from_array(np.ascontiguousarray(pixels, dtype=np.uint8), format="png")


def test_faces_are_boxed_in_every_size_and_one_record_comes_for_each_image(drive: Drive) -> None:
    face = pixels_of(PICTURES / "face.jpg")
    two = np.concatenate([face, face[:, ::-1]], axis=1)
    images = [face, two, cv2.resize(face, (1200, 1200)), np.zeros((64, 64), np.uint8), np.zeros((3, 3, 3), np.uint8)]
    given = [{"index": number, "image": picture(one)} for number, one in enumerate(images)]
    found = drive("detect-faces", given, types={"in": FRAME}, files={"model": YUNET})
    assert format_type(found.types["out"]).startswith("record{index: int, boxes: list[record{x: int, y: int, w: int, h: int, score: float")
    assert [(one.index, len(one.boxes)) for one in found.out] == [(0, 1), (1, 2), (2, 1), (3, 0), (4, 0)]
    (box,), (large,) = found.out[0].boxes, found.out[2].boxes
    assert 60 < box.x < 100 and 40 < box.y < 80 and 70 < box.w < 110 and 90 < box.h < 130 and box.score > 0.9
    assert abs(large.x - box.x * 1200 / 256) < 30 and abs(large.w - box.w * 1200 / 256) < 40
    right_eye, left_eye, nose, *_ = box.landmarks
    assert right_eye.x < nose.x < left_eye.x and right_eye.y < nose.y
    once_more = drive("detect-faces", given[:2], types={"in": FRAME}, files={"model": YUNET}, restart_at=1)
    assert [one.boxes for one in once_more.out] == [one.boxes for one in found.out[:2]]
    few = drive("detect-faces", given[1:2], types={"in": FRAME}, files={"model": YUNET}, params={"max_faces": 1})
    assert len(few.out[0].boxes) == 1


def test_another_model_and_what_has_no_image_are_refused(drive: Drive) -> None:
    with pytest.raises(RejectedError, match="it is no YuNet that OpenCV can use"):
        drive("detect-faces", types={"in": "image"}, files={"model": EXAMPLES / "library/data/logreg_iris.onnx"})
    with pytest.raises(RejectedError, match="int is no image"):
        drive("detect-faces", types={"in": "int"}, files={"model": YUNET})
    with pytest.raises(RejectedError, match="'boxes' would be there twice"):
        drive("qr", types={"in": "record{boxes: int, image: image}"})
    with pytest.raises(RecordError, match="does not decode"):
        drive("qr", [Image("png", 1, 1, b"no picture")], types={"in": "image"})


def test_several_codes_are_read_with_their_outlines(drive: Drive) -> None:
    codes = pixels_of(PICTURES / "codes.png")
    turn = cv2.getRotationMatrix2D((280, 150), 10, 1.0)
    turned = cv2.warpAffine(codes, turn, (560, 300), borderValue=(255, 255, 255))
    found = drive("qr", [picture(codes), picture(turned), picture(codes[:, :300]), picture(codes[..., 0])], types={"in": "image"})
    texts = [sorted(code.text for code in one.boxes) for one in found.out]
    both = ["Grüße vom Fluss", "https://example.org/weir/47"]
    assert texts == [both, both, both[1:], both]
    link = found.out[0].boxes[0]
    assert (link.x, link.y, link.w, link.h) == (52, 52, 149, 149)
    assert [(round(one.x), round(one.y)) for one in link.corners] == [(52, 52), (201, 52), (201, 201), (52, 201)]


def test_an_image_without_codes_gives_none_and_unread_ones_are_told_when_asked_for(drive: Drive) -> None:
    codes = pixels_of(PICTURES / "codes.png")[:, :270].copy()
    codes[95:160, 95:160] = 255
    images = [picture(np.full((200, 200, 3), 255)), picture(np.zeros((1, 1), np.uint8)), picture(codes)]
    assert [one.boxes for one in drive("qr", images, types={"in": "image"}).out] == [[], [], []]
    (code,) = drive("qr", images[2:], types={"in": "image"}, params={"unread": True}).out[0].boxes
    assert (code.text, code.w) == ("", 149)


def test_text_is_read_line_by_line(drive: Drive, capfd: pytest.CaptureFixture[str]) -> None:
    label = pixels_of(PAPERS / "label.jpg")
    given = [{"index": 0, "image": picture(label)}, {"index": 1, "image": picture(np.full((90, 90, 3), 255))}]
    given += [{"index": 2, "image": picture(np.zeros((2, 2), np.uint8))}, {"index": 3, "image": picture(label[..., 0])}]
    found = drive("ocr", given, types={"in": FRAME})
    assert [one.text for one in found.out] == ["SAMPLE 0047\nSite: North weir\nDepth: 2.5 m", "", "", found.out[0].text]
    first, *_, last = found.out[0].boxes
    assert (first.text, first.score > 0.9, first.y < last.y) == ("SAMPLE 0047", True, True)
    assert abs(first.x - 36) < 8 and abs(first.y - 35) < 8 and len(first.corners) == 4
    told = capfd.readouterr()
    assert "RapidOCR" not in told.out + told.err, "an empty image is nothing to warn of"


def test_lines_on_their_heads_are_read_when_that_is_said(drive: Drive) -> None:
    label = picture(pixels_of(PAPERS / "label.jpg")[::-1, ::-1])
    found = drive("ocr-text", [label], types={"in": "image"}, params={"upside_down": True, "to": "str"})
    assert "North weir" in found.out[0] and found.types["out"] == STR


def test_an_image_becomes_its_text_whole_or_in_a_field(drive: Drive) -> None:
    label = picture(pixels_of(PAPERS / "label.jpg"))
    whole = drive("ocr-text", [label], types={"in": "image"})
    assert format_type(whole.types["out"]).startswith("record{text: str, boxes: list[record{text: str, score: float")
    field = drive("ocr-text", [{"n": 1, "image": label}], types={"in": "record{n: int, image: image}"}, params={"field": "image"})
    assert field.out[0].n == 1 and field.out[0].image.text == whole.out[0].text == "SAMPLE 0047\nSite: North weir\nDepth: 2.5 m"
    with pytest.raises(RejectedError, match="int is no image"):
        drive("ocr-text", types={"in": "int"})
    for params in ({"min_score": 2}, {"size": 1}, {"threads": 0}, {"to": "int"}):
        with pytest.raises(ValidationError):
            drive("ocr-text", types={"in": "image"}, params=params)


@pytest.mark.parametrize(("missing", "name", "extra"), [("rapidocr", "ocr", "ocr"), ("cv2", "qr", "video")])
def test_without_its_library_a_component_names_the_extra(
    drive: Drive, monkeypatch: pytest.MonkeyPatch, missing: str, name: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(RejectedError, match=f"the library {missing} is not installed") as refused:
        drive(name, types={"in": "image"})
    assert refused.value.hint == f"pip install 'thalweg[{extra}]'"
