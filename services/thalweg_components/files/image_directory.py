"""image-directory: leaves the images that arrive as files in a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, GeneratedFile, Image, component
from thalweg.graph.types import StreamType
from thalweg_components.frames import image_of, image_output

T = TypeVar("T")
_SUFFIXES = {"jpeg": "jpg", "png": "png"}


class Params(BaseModel):
    """How images are written."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["jpeg", "png"] = Field("jpeg", description="what raw images become; encoded ones stay as they are")
    quality: int = Field(90, ge=1, le=100, description="of JPEG")


@component("image-directory", version="1.0.0")
class ImageDirectory:
    """Leaves the images that arrive as files in a directory, numbered from `000000` in the order in which they arrive.

    **Ports**: `in` takes images, or records with a field `image`.

    **Generates** `directory` (directory, `images`). JPEG and PNG images are written byte for byte, raw ones are encoded.

    **Params**: `format` (of raw images: `jpeg`, `png`), `quality` (of JPEG, 1 to 100).

    **Faults**: none of its own; a stream without records leaves an empty directory.
    """

    params: Params
    directory: Annotated[GeneratedFile, "directory", "images"]

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """Checks that there is an image in the input; there is no output."""
        image_output(inputs["in"], "jpeg")
        return {}

    def setup(self, context: Context) -> None:
        """Makes the directory."""
        self.directory.path.mkdir(parents=True, exist_ok=True)
        self._count = 0

    def process(self, record: T, context: Context) -> None:
        """Writes one file."""
        image = image_of(record)
        if image.format not in _SUFFIXES:
            image = Image.from_array(image.to_array(), format=self.params.format, quality=self.params.quality)
        (self.directory.path / f"{self._count:06d}.{_SUFFIXES[image.format]}").write_bytes(image.data)
        self._count += 1
