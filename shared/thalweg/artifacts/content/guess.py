"""What type a file or directory probably is, by its name and first bytes."""

from __future__ import annotations

from pathlib import Path

from thalweg.artifacts.content.archives import archive_format
from thalweg.artifacts.content.faults import mismatch
from thalweg.artifacts.content.images import JPEG, PNG

_SUFFIXES = {
    ".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".parquet": "parquet", ".onnx": "onnx",
    ".bmp": "image", ".tif": "image", ".tiff": "image", ".webp": "image", ".gif": "image",
    ".mp4": "video", ".mov": "video", ".mkv": "video", ".webm": "video", ".avi": "video", ".ts": "video", ".m4v": "video", ".mpg": "video",
    ".wav": "audio", ".flac": "audio", ".mp3": "audio", ".ogg": "audio", ".opus": "audio", ".m4a": "audio", ".aac": "audio",
}  # fmt: skip
_MAGIC = (
    (0, b"PAR1", "parquet"), (0, PNG, "image"), (0, JPEG, "image"), (0, b"GIF8", "image"), (8, b"WEBP", "image"), (8, b"WAVE", "audio"),
    (8, b"AVI ", "video"), (4, b"ftypM4A", "audio"), (4, b"ftyp", "video"), (0, b"\x1a\x45\xdf\xa3", "video"), (0, b"fLaC", "audio"),
    (0, b"ID3", "audio"), (0, b"OggS", "audio"),
)  # fmt: skip
_HEAD_BYTES = 4096


def guess_type(path: Path) -> str:
    """The artifact type to suppose where none is given; `check_content` has the last word. Reads a few KiB.

    First bytes are believed before the name; of text files only the name tells their type. What is not known is `text`
    when it starts as UTF-8, else `bytes`; a directory is `model-repository`, `image-directory` or `directory`.

    Raises:
        RejectedError: it is neither a file nor a directory; reading a pipe would wait for whoever writes into it.
    """
    if path.is_dir():
        return _guess_directory(path)
    if path.exists() and not path.is_file():
        raise mismatch(path.name, "is neither a file nor a directory")
    if archive_format(path) is not None:
        return "archive"
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    for offset, magic, found in _MAGIC:
        if head.startswith(magic, offset):
            return found
    return _SUFFIXES.get(path.suffix.lower()) or ("text" if _is_text(head) else "bytes")


def _guess_directory(path: Path) -> str:
    if any(path.glob("*/config.pbtxt")):
        return "model-repository"
    names = [one for one in path.iterdir() if not one.name.startswith(".")]
    return "image-directory" if names and all(one.is_file() and guess_type(one) == "image" for one in names) else "directory"


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return len(head) == _HEAD_BYTES and error.start >= len(head) - 3  # cut within a character
    return True
