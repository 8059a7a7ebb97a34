"""video-file: leaves the frames that arrive as an H.264 video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, TypeVar

import av
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, GeneratedFile, RecordError, component
from thalweg.graph.types import StreamType
from thalweg_components.frames import image_of, image_output

T = TypeVar("T")


class Params(BaseModel):
    """How it is encoded."""

    model_config = ConfigDict(extra="forbid")

    fps: float = Field(25, gt=0, le=1000, description="frames per second of the file")
    crf: int = Field(20, ge=0, le=51, description="quality of x264: lower is better")


@component("video-file", version="1.0.0")
class VideoFile:
    """Leaves the frames that arrive as an H.264 video, in the order in which they arrive.

    **Ports**: `in` takes images, or records with a field `image`.

    **Generates** `file` (mp4, `video.mp4`): x264 with one thread and fixed settings, so that the same frames give the same
    bytes. An odd last row or column is left off. Without any frame the file is empty.

    **Params**: `fps` (frames per second; the frames' own times are not used), `crf` (0 to 51).

    **Faults**: an image that does not decode or differs in size from the first is a faulty record.
    """

    params: Params
    file: Annotated[GeneratedFile, "video", "video.mp4"]

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """Checks that there is an image in the input; there is no output."""
        image_output(inputs["in"], "jpeg")
        return {}

    def setup(self, context: Context) -> None:
        """The file is opened with the first frame, whose size it takes."""
        self._container: Any = None
        self._stream: Any = None
        self._count = 0

    def process(self, frame: T, context: Context) -> None:
        """Encodes a frame."""
        pixels = image_of(frame).to_array()
        height, width = (side // 2 * 2 for side in pixels.shape[:2])
        if self._container is None:
            self._open(width, height)
        elif (width, height) != (self._stream.width, self._stream.height):
            raise RecordError(
                f"the image is {width} x {height}, the video {self._stream.width} x {self._stream.height}",
                where=f"frame {self._count}",
                hint="put resize before video-file",
            )
        self._encode(pixels[:height, :width])

    def finish(self, context: Context) -> None:
        """Writes what the encoder holds back, and the index."""
        if self._container is None:
            self.file.path.touch()
            return
        for packet in self._stream.encode():
            self._container.mux(packet)
        self._container.close()
        self._container = None

    def close(self) -> None:
        """Lets go of the file, wherever it stands."""
        if getattr(self, "_container", None) is not None:
            self._container.close()
            self._container = None

    def _open(self, width: int, height: int) -> None:
        self._container = av.open(str(self.file.path), "w", format="mp4", options={"fflags": "+bitexact", "movflags": "+faststart"})
        self._stream = self._container.add_stream("libx264", rate=Fraction(self.params.fps).limit_denominator(1001))
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        self._stream.options = {"preset": "veryfast", "crf": str(self.params.crf), "x264-params": "threads=1:lookahead-threads=1"}
        self._stream.codec_context.thread_count = 1

    def _encode(self, pixels: NDArray[np.uint8]) -> None:
        kind = "gray" if pixels.ndim == 2 else "bgr24"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=kind)
        frame.pts = self._count
        self._count += 1
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
