"""Images and audio as HTTP carries them: their headers read on the way in, encoded as asked for on the way out."""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import Mapping

from thalweg.sdk.outside import UnreadableError
from thalweg.sdk.values import Audio, Image

IMAGE_FORMATS = {"image/jpeg": "jpeg", "image/jpg": "jpeg", "image/png": "png"}
WAV_TYPES = frozenset({"audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"})
PCM_TYPES = frozenset({"audio/pcm", "audio/l16"})
MAX_PIXELS = 50_000_000  # of an image that is decoded here: a small file may hold a very large one
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_SIZES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # markers of frame headers


def read_image(data: bytes, form: str) -> Image:
    """An encoded image, its size read from its header.

    Raises:
        UnreadableError: the bytes do not begin as one of that format.
    """
    size = _png_size(data) if form == "png" else _jpeg_size(data)
    if size is None or min(size) < 1:
        raise UnreadableError(f"this is no {form.upper()} image")
    if size[0] * size[1] > MAX_PIXELS:
        raise UnreadableError(f"an image of {size[0]:,} x {size[1]:,} pixels; {MAX_PIXELS:,} in all are taken")
    return Image(form, *size, data)


def _png_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < 33 or not data.startswith(_PNG) or data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """From the first frame header (ITU T.81, B.2.2)."""
    if not data.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 < len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _JPEG_SIZES:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        elif 0xD0 <= marker <= 0xD8 or marker == 0x01:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def read_wav(data: bytes) -> Audio:
    """A WAV file of 16 bit samples.

    Raises:
        UnreadableError: it is none.
    """
    try:
        with wave.open(io.BytesIO(data)) as file:
            width, rate, channels, samples = (
                file.getsampwidth(),
                file.getframerate(),
                file.getnchannels(),
                file.readframes(file.getnframes()),
            )
    except (wave.Error, EOFError, struct.error, ValueError) as error:
        raise UnreadableError(f"this is no WAV file: {error}") from error
    if width != 2:
        raise UnreadableError(f"samples of {8 * width} bits; 16 are taken")
    return Audio("pcm16", rate, channels, samples)


def read_pcm(data: bytes, content_type: str, options: Mapping[str, str]) -> Audio:
    """Bare 16 bit samples, interleaved: little endian (`audio/pcm`), or big endian (`audio/L16`, RFC 2586).

    Raises:
        UnreadableError: the content type does not say the rate, or says no sensible one.
    """
    try:
        rate, channels = int(options["rate"]), int(options.get("channels", "1"))
    except (KeyError, ValueError) as error:
        raise UnreadableError("the content type does not say the rate, as in audio/pcm;rate=16000;channels=1") from error
    if len(data) % 2:
        raise UnreadableError("an odd number of bytes is no whole number of 16 bit samples")
    if content_type == "audio/l16":
        data = _swapped(data)
    return Audio("pcm16", rate, channels, data)


def _swapped(data: bytes) -> bytes:
    swapped = bytearray(data)
    swapped[0::2], swapped[1::2] = data[1::2], data[0::2]
    return bytes(swapped)


def wav_of(audio: Audio) -> bytes:
    """A WAV file of a piece of audio.

    Raises:
        UnreadableError: its samples are not 16 bit.
    """
    if audio.format != "pcm16":
        raise UnreadableError(f"audio of format {audio.format} cannot be shown as WAV")
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(audio.channels)
        file.setsampwidth(2)
        file.setframerate(audio.rate)
        file.writeframes(audio.data)
    return target.getvalue()


def image_as(image: Image, form: str) -> bytes:
    """An image's bytes in a format.

    Raises:
        RecordError: they do not decode, or are too large an image to.
    """
    if image.format == form:
        return image.data
    if image.format in IMAGE_FORMATS.values():
        read_image(image.data, image.format)  # its size is what its header says, not what the record says
    return Image.from_array(image.to_array(), form).data
