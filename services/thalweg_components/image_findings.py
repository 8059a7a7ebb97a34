"""What is found in images: the record without its image, with a field for the findings."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from thalweg import Context
from thalweg.graph.derive import stream_type
from thalweg.graph.types import ImageType, Record, StreamType
from thalweg_components.frames import image_of, image_output
from thalweg_components.names import check_names

In = TypeVar("In")
Out = TypeVar("Out")
Pixels = NDArray[np.uint8]


class ImageFindings:
    """Base of components that look for something in the image of each record; they say what in `finds`, and find it in `look`."""

    finds: ClassVar[dict[str, Any]]  # field -> annotation

    @classmethod
    def resolve_types(cls, params: Any, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The record's fields without its image, then what is found."""
        image_output(inputs["in"], "jpeg")  # refuses what has no image
        fields = [*_kept(inputs["in"]), *((name, stream_type(kind)) for name, kind in cls.finds.items())]
        check_names(name for name, _ in fields)
        return {"out": Record(tuple(fields))}

    def process(self, record: In, context: Context) -> Out:  # type: ignore[type-var]  # what Out is, resolve_types says
        """The record with what is in its image."""
        kept = (getattr(record, name) for name, _ in _kept(context.input_type("in")))
        found = self.look(image_of(record).to_array())
        return context.record_class("out")(*kept, *found)  # type: ignore[no-any-return]

    @abstractmethod
    def look(self, pixels: Pixels) -> tuple[Any, ...]:
        """What is found: a value for each field of `finds`; pixels are BGR or grey, uint8."""


def _kept(source: StreamType) -> list[tuple[str, StreamType]]:
    return (
        [(name, kind) for name, kind in source.fields if name != "image" or not isinstance(kind, ImageType)]
        if isinstance(source, Record)
        else []
    )
