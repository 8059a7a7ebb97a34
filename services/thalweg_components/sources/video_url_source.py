"""video-url-source: frames of a video that a web server has."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import av
from pydantic import BaseModel, ConfigDict, Field, field_validator

from thalweg import At, Context, RecordError, Secret, component
from thalweg.graph.types import StreamType
from thalweg_components.backoff import Backoff
from thalweg_components.frames import Frame
from thalweg_components.live_video import Origin, frame_type, open_video, probe_video, reason_of, refusal
from thalweg_components.urls import check_url, tls_options, with_credentials
from thalweg_components.video_frames import image_of_frame, scaled

_PROTOCOLS = "http,https,tcp,tls,crypto,httpproxy"  # a playlist may not lead to a file of this machine
_NS = 1_000_000_000
_REFUSALS = (
    av.error.HTTPUnauthorizedError,
    av.error.HTTPForbiddenError,
    av.error.HTTPNotFoundError,
    av.error.HTTPBadRequestError,
    av.error.HTTPOtherClientError,
)
_DAMAGES = (av.error.InvalidDataError, EOFError, ValueError)


class Params(BaseModel):
    """Which video, and which frames of it."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(max_length=4096, description="http://… or https://… of a video file or an HLS playlist, without user and password")
    format: Literal["jpeg", "bgr8"] = Field("jpeg", description="jpeg: small; bgr8: exact, 3 bytes a pixel")
    quality: int = Field(90, ge=1, le=100, description="of JPEG")
    width: int | None = Field(None, ge=1, le=16_384, description="frames are scaled to it; without height, in their ratio")
    height: int | None = Field(None, ge=1, le=16_384, description="frames are scaled to it; without width, in their ratio")
    every: int = Field(1, ge=1, le=100_000, description="every so many-th frame only")
    timeout_s: float = Field(10.0, ge=0.5, le=300, description="without an answer for so long, it asks again")
    verify_tls: bool = Field(True, description="whether the certificate of https:// must be good")

    @field_validator("url")
    @classmethod
    def _is_url(cls, text: str) -> str:
        return check_url(text, "http", "https")


@component("video-url-source", version="1.0.0", deterministic=False)
class VideoUrlSource:
    """Frames of a video that a web server has: a file, or an HLS stream.

    **Emits** on `out` `record{index: int, time: float, image: image}`, as `video-file-source` does: `index` counts all frames from 0,
    `time` is in seconds from the start, as the video says, and is the event time too.

    **Params**: `url`; `format` (`jpeg`, `bgr8`), `quality`, `width`, `height`, `every`; `timeout_s`; `verify_tls`. **Secrets**: `user`,
    `password`.

    **Resumes** a video that has a length at the frame behind the last committed one, by reading it from the start; a live stream where it
    then is: what it showed meanwhile is lost.

    **Faults**: an outage is waited out. What the server refuses or does not have, and what is no video, fails the vertex; a video that ends
    early twice at the same frame is a fault that names it.
    """

    params: Params
    user: Secret | None
    password: Secret | None

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """A frame whose image has the format asked for."""
        return frame_type(params.format)

    def read(self, cursor: int | None, context: Context) -> Iterator[At[Frame]]:
        """Frames from index `cursor` on."""
        origin, index, cut_at = self._origin(), cursor or 0, -1
        backoff = Backoff(context.logger, origin.name)
        while True:
            try:
                for found in self._frames(origin, index):
                    backoff.worked() if backoff.failures else None
                    index = found.cursor
                    yield found
                return
            except _REFUSALS as error:
                raise refusal(origin, error) from None
            except _DAMAGES as error:  # or a connection that was cut: the second look tells
                if index == cut_at:
                    hint = "it is damaged, truncated or no video"
                    raise RecordError(f"{origin.name}: {reason_of(error)}", where=f"frame {index}", hint=hint) from None
                cut_at = index
                time.sleep(backoff.failed(ConnectionError(reason_of(error))))
            except av.error.FFmpegError as error:
                time.sleep(backoff.failed(ConnectionError(reason_of(error))))

    def probe(self) -> None:
        """Opens the video once."""
        probe_video(self._origin())

    def _frames(self, origin: Origin, first: int) -> Iterator[At[Frame]]:
        params = self.params
        for index, frame in _decode(origin, first, params.timeout_s):
            if index >= first and index % params.every == 0:
                seconds = float(frame.pts * frame.time_base) if frame.pts is not None else float(index)
                image = image_of_frame(scaled(frame, params.width, params.height), params.format, params.quality)
                yield At(Frame(index, seconds, image), index + 1, int(seconds * _NS))

    def _origin(self) -> Origin:
        params = self.params
        options = {"protocol_whitelist": _PROTOCOLS, "reconnect": "1"}
        if params.url.startswith("https"):
            options |= tls_options(is_checked=params.verify_tls)
        return Origin(with_credentials(params.url, self.user, self.password), params.url, options=options)


def _decode(origin: Origin, first: int, timeout_s: float) -> Iterator[tuple[int, Any]]:
    """Frames with their index. Raises FFmpegError, or EOFError where there is less than was announced."""
    with open_video(origin, timeout_s) as container:
        stream = container.streams.video[0]
        index = 0 if container.duration else first  # what has no length is live, and is not there from the start
        packets, announced = 0, stream.frames
        for packet in container.demux(stream):
            packets += packet.size > 0
            for frame in packet.decode():
                yield index, frame
                index += 1
    if packets < announced:
        raise EOFError(f"the video ends after {packets} packets, but announces {announced}")
