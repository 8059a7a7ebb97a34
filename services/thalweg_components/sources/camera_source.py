"""camera-source: frames of a camera of this machine."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from thalweg import component
from thalweg.graph.types import StreamType
from thalweg_components.live_video import LiveParams, LiveVideo, Origin, frame_type


class Params(LiveParams):
    """Which camera, and which frames of it."""

    device: str = Field("/dev/video0", min_length=1, max_length=4096, description="as the driver names it; for lavfi, a filter graph")
    driver: str = Field(
        "v4l2", pattern=r"^[a-z0-9_]{1,32}$", description="FFmpeg's input device: v4l2, avfoundation, dshow, x11grab, lavfi"
    )
    capture_size: str | None = Field(None, pattern=r"^\d{1,5}x\d{1,5}$", description="size that the camera is set to, as in `1280x720`")
    rate: float | None = Field(None, gt=0, le=1000, description="frames per second that the camera is set to")
    input_format: str | None = Field(None, pattern=r"^[a-z0-9_]{1,32}$", description="what the camera gives: mjpeg, yuyv422, …")


@component("camera-source", version="1.0.0", deterministic=False)
class CameraSource(LiveVideo):
    """Frames of a camera of the machine that the vertex runs on, live.

    **Emits** on `out` `record{index: int, time: float, image: image}`, as `video-file-source` does: `index` counts the frames since the
    deployment began, also those that were dropped; `time` is in seconds since the first one.

    **Params**: `device`, `driver` (of FFmpeg's device layer); `capture_size`, `rate`, `input_format`, which the camera is asked for;
    `format` (`jpeg`, `bgr8`), `quality`, `width`, `height`, `every`; `when_full` (`drop-oldest`, `drop-newest`, `block`), `buffer`
    (frames); `timeout_s`.

    **Times**: of `v4l2` the kernel's time stamps, else the arrival.

    **Delivery**: what the camera shows while the source is away is lost, and does not count as dropped. Frames that nobody has room for
    are dropped as `when_full` says, and counted; a gap in `index` shows where.

    **Faults**: a camera that is unplugged, or not there yet, is waited for; one that may not be opened fails the vertex. The source ends
    only with a device that ends by itself, such as a `lavfi` graph with a duration.
    """

    params: Params

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """A frame whose image has the format asked for."""
        return frame_type(params.format)

    def origin(self) -> Origin:
        """The camera."""
        params, is_v4l2 = self.params, self.params.driver == "v4l2"
        asked = {
            "video_size": params.capture_size,
            "framerate": None if params.rate is None else f"{params.rate:g}",
            "input_format": params.input_format,
            "ts": "abs" if is_v4l2 else None,
        }
        return Origin(
            params.device,
            f"camera {params.device}",
            params.driver,
            {key: value for key, value in asked.items() if value is not None},
            clock="stamps" if is_v4l2 else "arrival",
            ends=True,
        )
