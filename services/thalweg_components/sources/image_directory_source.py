"""image-directory-source: the images of a directory."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import simplejpeg

from thalweg import At, Bad, Context, Image, InputFile, RecordError, component
from thalweg.errors import RejectedError
from thalweg.graph.types import INT, STR, ImageType, Record, StreamType

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"


@dataclass
class NamedImage:
    """An image with its file's name, and its place in the sorted directory, from 0."""

    name: str
    image: Image
    index: int


@component("image-directory-source", version="1.0.0")
class ImageDirectorySource:
    """Reads the JPEG and PNG images of a directory, sorted by name.

    **Emits** on `out` `record{name: str, image: image, index: int}`; the image's bytes are those of the file.

    **Files**: `directory` (directory): its files, not its subdirectories; those that start with a dot are left out.

    **Faults**: a directory without files is rejected before it runs. A file whose content is neither JPEG nor PNG, whatever
    its name, is a faulty record that names it.

    **Resumes** at the image behind the last committed one.
    """

    directory: Annotated[InputFile, "directory"]

    @classmethod
    def resolve_types(cls, params: None, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """Always the same type; an empty directory is refused."""
        if "directory" in files and not _names(files["directory"]):
            raise RejectedError("directory: there is no file in it", code="file.invalid", hint="bind a directory with JPEG or PNG images")
        return {"out": Record((("name", STR), ("image", ImageType(None)), ("index", INT)), "NamedImage")}

    def read(self, cursor: int | None, context: Context) -> Iterator[At[NamedImage] | Bad]:
        """Images from index `cursor` on."""
        names = _names(self.directory.path)
        if not names:
            raise RecordError("the directory is empty", where="image 0")
        for index in range(cursor or 0, len(names)):
            data = (self.directory.path / names[index]).read_bytes()
            try:
                image = identify(data)
            except ValueError as error:
                yield Bad(RecordError(str(error), where=f"image {index}, file {names[index]}"), names[index], index + 1)
            else:
                yield At(NamedImage(names[index], image, index), index + 1)


def identify(data: bytes) -> Image:
    """The image whose file these bytes are. Raises ValueError on anything but JPEG and PNG."""
    if data.startswith(_PNG) and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return Image(format="png", width=width, height=height, data=data)
    if data.startswith(_JPEG):
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        return Image(format="jpeg", width=width, height=height, data=data)
    raise ValueError("is neither JPEG nor PNG")


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.is_file() and not path.name.startswith("."))
