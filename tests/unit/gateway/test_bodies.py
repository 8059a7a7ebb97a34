"""Bodies of requests as records: every content type, and what is said of those that do not fit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg import Image
from thalweg.graph.parse import parse_type
from thalweg.sdk.outside import MisfitError, Outside, UnreadableError
from thalweg.sdk.values import Audio
from thalweg_gateway.bodies import collect, read_records
from thalweg_gateway.media import image_as, read_image, read_pcm, read_wav, wav_of
from thalweg_gateway.refusals import RequestError
from thalweg_gateway.showing import format_of


async def read(kind: str, body: bytes, content_type: str = "application/json") -> list[Any]:
    found = await read_records({"content-type": content_type}, body, Outside(parse_type(kind)))
    return [msgspec.msgpack.decode(one) for one in found]


async def test_an_array_is_many_records_unless_a_record_is_an_array() -> None:
    assert await read("int", b" [1, 2]") == [1, 2]
    assert await read("list[int]", b"[1, 2]") == [[1, 2]]
    assert await read("list[int]?", b"[1, 2]") == [[1, 2]]
    assert await read("json", b"[1, 2]") == [[1, 2]]
    assert await read("int", msgspec.msgpack.encode([1, 2]), "application/msgpack") == [1, 2]
    assert await read("int", b"[]") == []


async def test_records_are_canonical_whatever_they_came_as() -> None:
    kind = "record{a: float, b: str?}"
    bodies = [(b'{"b": null, "more": 1, "a": 1}', "application/json; charset=utf-8"), (b'{"a": 1}\r\n', "application/x-ndjson")]
    bodies += [(msgspec.msgpack.encode({"a": 1}), "application/x-msgpack"), (b'{"a": 1}', "")]
    found = [(await read_records({"content-type": kind_of}, body, Outside(parse_type(kind))))[0] for body, kind_of in bodies]
    assert set(found) == {msgspec.msgpack.encode({"a": 1.0, "b": None})}


async def test_text_and_bytes_are_themselves() -> None:
    assert await read("str", "grün".encode(), "text/plain") == ["grün"]
    for content_type in ("application/octet-stream", "image/jpeg", "application/x-anything"):
        assert await read("bytes", b"\x00\xff", content_type) == [b"\x00\xff"]
    part = b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\nContent-Type: image/png\r\n\r\n\x00\xff\r\n--x--\r\n'
    assert await read("bytes", part, "multipart/form-data; boundary=x") == [b"\x00\xff"]
    assert await read("record{a: bytes}", part, "multipart/form-data; boundary=x") == [{"a": b"\x00\xff"}]
    with pytest.raises(RequestError) as unknown:
        await read("str", b"", "no/such/type")
    assert unknown.value.code == "body.type_unknown"
    with pytest.raises(RequestError) as told:
        await read("str", b"\xff", "text/plain")
    assert told.value.code == "body.unreadable"


async def test_a_misfit_says_where_and_why() -> None:
    with pytest.raises(RequestError) as told:
        await read("record{orders: list[record{n: int}]}", b'{"orders": [{"n": 1}, {"n": "2"}]}')
    assert (told.value.code, told.value.facts["path"]) == ("record.misfit", "$.orders[1].n")
    with pytest.raises(RequestError) as told:
        await read("int", b'[1, "2", 3]')
    assert told.value.facts["index"] == 1


async def test_a_body_is_not_read_beyond_its_limit() -> None:
    taken = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield b"x" * 10

    with pytest.raises(RequestError) as told:
        await collect(chunks(), 95)
    assert told.value.code == "body.too_large" and taken == 10


@given(st.binary(max_size=60), st.sampled_from(["jpeg", "png"]))
def test_no_bytes_are_taken_for_an_image_that_are_none(data: bytes, form: str) -> None:
    with pytest.raises(UnreadableError):
        read_image(data, form)


@pytest.mark.parametrize("form", ["jpeg", "png"])
def test_the_size_of_an_image_is_in_its_header(form: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (37, 51, 3), np.uint8)
    image = Image.from_array(pixels, form)
    assert read_image(image.data, form) == image == Image(form, 51, 37, image.data)


def test_an_image_that_is_too_large_to_decode_is_refused_by_its_header() -> None:
    data = bytearray(Image.from_array(np.zeros((2, 2, 3), np.uint8), "png").data)
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    with pytest.raises(UnreadableError, match="pixels"):
        read_image(bytes(data), "png")
    with pytest.raises(UnreadableError, match="pixels"):
        image_as(Image("png", 2, 2, bytes(data)), "jpeg")


def test_audio_is_the_same_in_every_form() -> None:
    audio = Audio("pcm16", 16000, 2, bytes(range(64)))
    assert read_wav(wav_of(audio)) == audio
    options = {"rate": "16000", "channels": "2"}
    assert read_pcm(audio.data, "audio/pcm", options) == audio
    swapped = bytes(byte for at in range(0, 64, 2) for byte in (audio.data[at + 1], audio.data[at]))
    assert read_pcm(swapped, "audio/l16", options) == audio
    for data, wrong in ((b"", {}), (b"abc", options), (b"ab", {"rate": "fast"})):
        with pytest.raises(UnreadableError):
            read_pcm(data, "audio/pcm", wrong)


def test_media_have_to_be_what_their_type_says() -> None:
    image = {"format": "bgr8", "width": 2, "height": 2, "data": bytes(11)}
    with pytest.raises(MisfitError) as told:
        Outside(parse_type("record{frames: list[image]}")).from_value({"frames": [image]})
    assert told.value.path == "$.frames[0].data"
    with pytest.raises(MisfitError) as told:
        Outside(parse_type("image<png>")).from_value({**image, "data": bytes(12)})
    assert told.value.path == "$.format"
    with pytest.raises(MisfitError) as told:
        Outside(parse_type("audio<8000,1>?")).from_value({"format": "pcm16", "rate": 8000, "channels": 2, "data": b""})
    assert told.value.path == "$.channels"


def test_the_form_of_records_is_negotiated() -> None:
    image, record = parse_type("image"), parse_type("record{n: int}")
    assert format_of(None, "*/*", image) == "jpeg" and format_of(None, "text/html, image/png;q=0.9", image) == "png"
    assert format_of("json", "image/png", image) == "json" and format_of(None, "", record) == "json"
    with pytest.raises(RequestError):
        format_of("jpeg", "", record)
