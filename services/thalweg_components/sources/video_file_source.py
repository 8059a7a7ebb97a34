"""video-file-source: frames of a video file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import av
from pydantic import BaseModel, ConfigDict, Field

from thalweg import At, Context, InputFile, RecordError, component
from thalweg.graph.types import FLOAT, INT, ImageType, Record, StreamType
from thalweg_components.frames import Frame
from thalweg_components.video_frames import image_of_frame


class Params(BaseModel):
    """How frames travel."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["jpeg", "bgr8"] = Field("jpeg", description="jpeg: small; bgr8: exact, 3 bytes a pixel")
    quality: int = Field(90, ge=1, le=100, description="of JPEG")


@component("video-file-source", version="1.0.0")
class VideoFileSource:
    """Decodes a video file frame by frame.

    **Emits** on `out` `record{index: int, time: float, image: image}`, the image in the `format` of the params: the index
    counts from 0, `time` is in seconds from the start, as the file says, and is the event time too.

    **Files**: `video` (video): anything that FFmpeg reads; its first video stream is used.

    **Params**: `format` (`jpeg`, or `bgr8` for exact pixels), `quality` (of JPEG, 1 to 100).

    **Faults**: a file that is no video, is truncated or damaged is a fault that names the frame at which it shows.

    **Resumes** at the frame behind the last committed one, by decoding from the start: exact for every codec.
    """

    params: Params
    video: Annotated[InputFile, "video"]

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """A frame whose image has the format asked for."""
        return {"out": Record((("index", INT), ("time", FLOAT), ("image", ImageType(params.format))), "Frame")}

    def read(self, cursor: int | None, context: Context) -> Iterator[At[Frame]]:
        """Frames from index `cursor` on."""
        first = cursor or 0
        for index, frame in _decode(self.video.path):
            if index >= first:
                seconds = float(frame.pts * frame.time_base) if frame.pts is not None else float(index)
                time_ns = int(frame.pts * frame.time_base * 1_000_000_000) if frame.pts is not None else None
                yield At(Frame(index, seconds, image_of_frame(frame, self.params.format, self.params.quality)), index + 1, time_ns)


def _decode(path: Path) -> Iterator[tuple[int, Any]]:
    """Every frame with its index; an early end is a RecordError.

    Whether it ends early is judged by packets, not by frames: of a file that was cut without encoding it anew, packets before the cut
    are there but not shown (an edit list).
    """
    index, packets, announced = 0, 0, 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise RecordError("the file has no video stream", where="frame 0")
            stream = container.streams.video[0]
            stream.thread_type = "SLICE"  # frame threads would hold more frames in memory for little gain here
            announced = stream.frames
            for packet in container.demux(stream):
                packets += packet.size > 0  # the last one, which flushes the decoder, is empty
                for frame in packet.decode():
                    yield index, frame
                    index += 1
    except av.error.FFmpegError as error:
        raise RecordError(
            f"the video cannot be decoded: {error.strerror}", where=f"frame {index}", hint="the file is damaged, truncated or no video"
        ) from None
    if packets < announced:
        raise RecordError(
            f"the video ends after {packets} packets, but announces {announced}", where=f"frame {index}", hint="the file is truncated"
        )
