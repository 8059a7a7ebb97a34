"""rtsp-source: frames of a network camera."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from thalweg import Secret, component
from thalweg.graph.types import StreamType
from thalweg_components.live_video import LiveParams, LiveVideo, Origin, frame_type
from thalweg_components.urls import check_url, tls_options, with_credentials

_PROTOCOLS = "rtsp,rtsps,rtp,srtp,rtcp,udp,tcp,tls,crypto"  # nothing that a camera says leads to a file


class Params(LiveParams):
    """Which camera, and which frames of it."""

    url: str = Field(max_length=4096, description="rtsp://… or rtsps://…, without user and password")
    transport: Literal["tcp", "udp"] = Field("tcp", description="tcp: complete; udp: no waiting for what was lost")
    clock: Literal["camera", "arrival"] = Field("camera", description="event time: the camera's clock, where it tells it, or the arrival")
    at_end: Literal["reconnect", "end"] = Field("reconnect", description="what follows when the camera ends the stream")
    verify_tls: bool = Field(True, description="whether the certificate of rtsps:// must be good")

    @field_validator("url")
    @classmethod
    def _is_url(cls, text: str) -> str:
        return check_url(text, "rtsp", "rtsps")


@component("rtsp-source", version="1.0.0", deterministic=False)
class RtspSource(LiveVideo):
    """Frames of a network camera, live.

    **Emits** on `out` `record{index: int, time: float, image: image}`, as `video-file-source` does: `index` counts the frames since the
    deployment began, also those that were dropped; `time` is in seconds since the first one.

    **Params**: `url`; `transport` (`tcp`, `udp`); `format` (`jpeg`, `bgr8`), `quality`, `width`, `height`, `every`; `when_full`
    (`drop-oldest`, `drop-newest`, `block`), `buffer` (frames); `timeout_s`; `clock`; `at_end`; `verify_tls`. **Secrets**: `user`,
    `password`.

    **Times**: the camera's clock, as its RTCP reports tell it. A connection begins with the first report, what comes before is left out; a
    camera that has sent none for 5 s has the times of arrival, for good. `clock: arrival` where its clock is wrong.

    **Delivery**: nothing of the past comes again: what the camera sends while the source is away, or connects again, is lost, and does
    not count as dropped. Frames that nobody has room for are dropped as `when_full` says, and counted; a gap in `index` shows where.

    **Faults**: an outage is waited out, packets that are damaged are left out. A camera that refuses the first connection fails the vertex.
    """

    params: Params
    user: Secret | None
    password: Secret | None

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """A frame whose image has the format asked for."""
        return frame_type(params.format)

    def origin(self) -> Origin:
        """The camera."""
        params = self.params
        options = {"rtsp_transport": params.transport, "protocol_whitelist": _PROTOCOLS, **tls_options(is_checked=params.verify_tls)}
        return Origin(
            with_credentials(params.url, self.user, self.password),
            params.url,
            options=options if params.url.startswith("rtsps") else {key: options[key] for key in ("rtsp_transport", "protocol_whitelist")},
            clock="rtcp" if params.clock == "camera" else "arrival",
            ends=params.at_end == "end",
        )
