"""Images and directories of images: PNG and JPEG by their own structure, other formats by OpenCV."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from thalweg.artifacts.content.faults import Facts, mismatch

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_FORMATS = ((PNG, "png"), (JPEG, "jpeg"), (b"GIF8", "gif"), (b"BM", "bmp"), (b"RIFF", "webp"), (b"II*\0", "tiff"), (b"MM\0*", "tiff"))
_MAX_PIXELS = 1 << 28
_MAX_DECODED_BYTES = 256 << 20
_MAX_CHUNK_BYTES = 1 << 20


def check_image(path: Path) -> None:
    """Refuse what is no image, ends early, or has more than 2^28 pixels."""
    facts = describe_image(path)
    if facts["width"] * facts["height"] > _MAX_PIXELS:
        raise mismatch(path.name, f"{facts['width']} x {facts['height']} pixels are more than 2^28")


def describe_image(path: Path) -> Facts:
    """Format, width and height."""
    with path.open("rb") as stream:
        head = stream.read(16)
        name = next((name for magic, name in _FORMATS if head.startswith(magic)), None)
        stream.seek(0)
        if name == "png":
            width, height = _walk_png(path.name, stream)
        elif name == "jpeg":
            width, height = _walk_jpeg(path.name, stream)
        elif name is not None:
            width, height = _decode(path)
        else:
            raise mismatch(path.name, "no image", "PNG, JPEG, GIF, BMP, WebP or TIFF")
    return {"format": name, "width": width, "height": height}


def check_directory(path: Path) -> None:
    """Refuse a directory without images, or with a file that is none; files that start with a dot do not count."""
    names = _names(path)
    if not names:
        raise mismatch(path.name, "there is no file in it", "put images directly into it")
    for name in names:
        check_image(path / name)


def describe_directory(path: Path) -> Facts:
    """How many images there are."""
    return {"image_count": len(_names(path))}


def _names(path: Path) -> list[str]:
    return sorted(one.name for one in path.iterdir() if one.is_file() and not one.name.startswith("."))


def _walk_png(where: str, stream: BinaryIO) -> tuple[int, int]:
    """Size of a PNG whose chunks are all there and sound. Source: W3C PNG, 5.3."""
    stream.seek(len(PNG))
    size = (0, 0)
    while True:
        head = stream.read(8)
        if len(head) < 8:
            raise mismatch(where, "the image ends early")
        length, kind = struct.unpack(">I4s", head)
        checksum = zlib.crc32(kind)
        while length > 0:
            data = stream.read(min(length, _MAX_CHUNK_BYTES))
            if not data:
                raise mismatch(where, "the image ends early")
            if kind == b"IHDR" and len(data) >= 8:
                size = struct.unpack(">II", data[:8])
            checksum, length = zlib.crc32(data, checksum), length - len(data)
        if stream.read(4) != checksum.to_bytes(4, "big"):
            raise mismatch(where, f"chunk {kind.decode(errors='replace')} is damaged or cut off")
        if kind == b"IEND":
            return _sized(where, size)


def _walk_jpeg(where: str, stream: BinaryIO) -> tuple[int, int]:
    """Size of a JPEG that has its end marker. Source: ITU-T T.81, B.1."""
    stream.seek(2)
    size = (0, 0)
    while (marker := _next_marker(stream)) not in (0xDA, 0xD9):
        segment = stream.read(2)
        if marker is None or len(segment) < 2:
            raise mismatch(where, "the image ends early")
        length = int.from_bytes(segment, "big") - 2
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            frame = stream.read(5)
            size, length = (int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big")), length - len(frame)
        stream.seek(max(0, length), 1)
    stream.seek(0, 2)
    stream.seek(max(0, stream.tell() - 4096))
    if b"\xff\xd9" not in stream.read():  # cameras leave padding behind the end marker
        raise mismatch(where, "the image ends early")
    return _sized(where, size)


def _next_marker(stream: BinaryIO) -> int | None:
    if stream.read(1) != b"\xff":
        return None
    while (code := stream.read(1)) == b"\xff":
        pass
    return code[0] if code else None


def _sized(where: str, size: tuple[int, int]) -> tuple[int, int]:
    if 0 in size:
        raise mismatch(where, "the image has no size")
    return size


def _decode(path: Path) -> tuple[int, int]:
    import cv2

    if path.stat().st_size > _MAX_DECODED_BYTES:
        raise mismatch(path.name, f"larger than {_MAX_DECODED_BYTES >> 20} MiB", "store it as PNG or JPEG")
    try:
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    except cv2.error:  # more pixels than OpenCV takes
        pixels = None
    if pixels is None:
        raise mismatch(path.name, "the image cannot be decoded")
    height, width = pixels.shape[:2]
    return width, height
