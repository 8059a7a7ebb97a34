"""Live video: frames are decoded on a thread of its own, which connects again when it must, and given on by a source."""

from __future__ import annotations

import logging
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import av
from pydantic import BaseModel, ConfigDict, Field

from thalweg import At, Context, RejectedError, UnreachableError
from thalweg.graph.types import FLOAT, INT, ImageType, Record, StreamType
from thalweg_components.backoff import Backoff
from thalweg_components.frames import Frame
from thalweg_components.live_queue import LiveQueue, WhenFull
from thalweg_components.video_frames import image_of_frame, scaled

PROBE_TIMEOUT_S = 8.0
CLOCK_WAIT_S = 5.0  # for the first report of a sender's clock (RFC 3550, 6.2: it comes within four)
_THREAD = "thalweg-source"  # so that a process leaves without it where FFmpeg does not come back
_COME_BACK_S = 0.5
_NS = 1_000_000_000
_REFUSALS = (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError, av.error.PermissionError)


class LiveParams(BaseModel):
    """Which frames, how they travel, and what becomes of those that nobody has room for."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["jpeg", "bgr8"] = Field("jpeg", description="jpeg: small; bgr8: exact, 3 bytes a pixel")
    quality: int = Field(90, ge=1, le=100, description="of JPEG")
    width: int | None = Field(None, ge=1, le=16_384, description="frames are scaled to it; without height, in their ratio")
    height: int | None = Field(None, ge=1, le=16_384, description="frames are scaled to it; without width, in their ratio")
    every: int = Field(1, ge=1, le=100_000, description="every so many-th frame only")
    when_full: WhenFull = Field("drop-oldest", description="where readers are slower: drop-oldest, drop-newest, or block the camera")
    buffer: int = Field(8, ge=1, le=1000, description="decoded frames that are held at most")
    timeout_s: float = Field(10.0, ge=0.5, le=300, description="without a frame for so long, it connects again")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where video comes from.

    Attributes:
        url: what FFmpeg opens; may have credentials in it, so it is shown nowhere.
        name: the same as people may see it.
        format: of FFmpeg, where the URL does not say it.
        options: for FFmpeg.
        clock: where a frame's time comes from: the sender's clock as RTCP has it, time stamps that are UTC themselves, or its arrival.
        ends: whether the end of the stream is the end of the source.
    """

    url: str = field(repr=False)
    name: str
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    clock: Literal["rtcp", "stamps", "arrival"] = "arrival"
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Shot:
    """A decoded frame; `index` counts those before it, also those that were dropped."""

    index: int
    time_ns: int
    frame: Any


def frame_type(image_format: str) -> dict[str, StreamType]:
    """Type of the port of a video source."""
    return {"out": Record((("index", INT), ("time", FLOAT), ("image", ImageType(image_format))), "Frame")}


def open_video(origin: Origin, timeout_s: float) -> Any:
    """An open container with video in it. Raises FFmpegError, or ValueError where there is no video, or no such format."""
    container = av.open(origin.url, format=origin.format, options=dict(origin.options), timeout=(timeout_s, timeout_s))
    if not container.streams.video:
        container.close()
        raise ValueError("there is no video stream")
    container.streams.video[0].thread_type = "SLICE"  # frame threads would hold frames back
    return container


def reason_of(error: Exception) -> str:
    """What went wrong; FFmpeg's own text would have the URL in it."""
    if isinstance(error, av.error.ExitError):
        return "no answer in time"
    return str(error.strerror) if isinstance(error, av.error.FFmpegError) else str(error)


def probe_video(origin: Origin) -> None:
    """Opens and closes it.

    Raises:
        UnreachableError: it does not answer, or is no video (`video.unreachable`).
        RejectedError: it refuses (`video.refused`).
    """
    try:
        open_video(origin, PROBE_TIMEOUT_S).close()
    except _REFUSALS as error:
        raise refusal(origin, error) from None
    except (av.error.FFmpegError, ValueError) as error:
        raise UnreachableError(f"{origin.name} cannot be opened: {reason_of(error)}", code="video.unreachable") from None


def refusal(origin: Origin, error: Exception) -> RejectedError:
    """The error for what would be refused again."""
    hint = "check the address, and bind the secrets user and password"
    return RejectedError(f"{origin.name} refuses: {reason_of(error)}", code="video.refused", hint=hint)


class Capture:
    """Decodes a live video until it is closed.

    Args:
        origin: where it comes from.
        params: which frames count.
        logger: is told of outages.
    """

    def __init__(self, origin: Origin, params: LiveParams, logger: logging.Logger) -> None:
        self._origin, self._params = origin, params
        self.shots = LiveQueue[Shot](params.buffer, params.when_full)
        self._backoff, self._has_worked = Backoff(logger, origin.name), False
        self._is_closed = threading.Event()
        self._seen = self._index = 0
        self._waits_for_clock = origin.clock == "rtcp"  # to give first frames the time of arrival would let time go back behind them
        self._thread = threading.Thread(target=self._keep, name=_THREAD, daemon=True)

    def start(self, index: int) -> None:
        """Begins; frames are counted from `index`."""
        self._index = index
        self._thread.start()

    def close(self) -> None:
        """Ends it, waiting a little for FFmpeg. Idempotent."""
        self._is_closed.set()
        self.shots.end()
        if self._thread.is_alive():
            self._thread.join(_COME_BACK_S)

    def _keep(self) -> None:
        while not self._is_closed.is_set():
            error: Exception = ConnectionError("the stream has ended")
            try:
                self._decode()
                if self._origin.ends:
                    return self.shots.end()
            except (av.error.FFmpegError, ValueError) as raised:
                is_final = isinstance(raised, _REFUSALS) or not isinstance(raised, av.error.FFmpegError)
                if is_final and not self._has_worked:
                    return self.shots.end(refusal(self._origin, raised))
                error = ConnectionError(reason_of(raised))
            if not self._is_closed.is_set():
                self._is_closed.wait(self._backoff.failed(error))

    def _decode(self) -> None:
        offset_ns: int | None = None  # from a frame's own time to the sender's clock
        give_up_s = time.monotonic() + CLOCK_WAIT_S
        with open_video(self._origin, self._params.timeout_s) as container:
            for packet in container.demux(container.streams.video[0]):
                if self._is_closed.is_set():
                    return
                if self._waits_for_clock and (told_ns := _sender_ns(packet)) is not None and packet.pts is not None:
                    offset_ns = told_ns - int(packet.pts * packet.time_base * _NS)
                frames = _decoded(packet)
                if self._waits_for_clock and offset_ns is None:
                    self._waits_for_clock = time.monotonic() < give_up_s
                    continue
                for frame in frames:
                    self._take(frame, offset_ns)

    def _take(self, frame: Any, offset_ns: int | None) -> None:
        if not self._has_worked or self._backoff.failures:
            self._has_worked = True
            self._backoff.worked()
        self._seen += 1
        if (self._seen - 1) % self._params.every:
            return
        shot = Shot(self._index, self._time_ns(frame, offset_ns), frame)
        self._index += 1
        self.shots.put(shot)

    def _time_ns(self, frame: Any, offset_ns: int | None) -> int:
        if frame.pts is not None:
            own_ns = int(frame.pts * frame.time_base * _NS)
            if offset_ns is not None:
                return own_ns + offset_ns
            if self._origin.clock == "stamps":
                return own_ns
        return time.time_ns()


def _decoded(packet: Any) -> list[Any]:
    """The frames of a packet; none where it is damaged, as packets are that were lost on their way."""
    try:
        found: list[Any] = packet.decode()
    except av.error.InvalidDataError:
        return []
    return found


def _sender_ns(packet: Any) -> int | None:
    """When the sender says that a packet was made: FFmpeg works it out of RTCP's reports (AVProducerReferenceTime, µs since 1970)."""
    if not packet.has_sidedata("prft"):
        return None
    (wall_us,) = struct.unpack_from("=q", bytes(packet.get_sidedata("prft")))
    return int(wall_us) * 1000


class LiveVideo:
    """What live video sources have in common; each says where its video comes from."""

    params: LiveParams

    def origin(self) -> Origin:
        """Where the video comes from."""
        raise NotImplementedError

    def setup(self, context: Context) -> None:
        """Opens nothing yet."""
        self._capture = Capture(self.origin(), self.params, context.logger)

    def read(self, cursor: list[int] | None, context: Context) -> Iterator[At[Frame]]:
        """Frames as they come. The cursor has the next index, and the time of the first frame."""
        index, first_ns = cursor or (0, None)
        params, shots = self.params, self._capture.shots
        self._capture.start(index)
        while (shot := shots.take()) is not None:
            context.count_dropped(shots.take_dropped())
            first_ns = shot.time_ns if first_ns is None else first_ns
            image = image_of_frame(scaled(shot.frame, params.width, params.height), params.format, params.quality)
            yield At(Frame(shot.index, (shot.time_ns - first_ns) / _NS, image), [shot.index + 1, first_ns], shot.time_ns)

    def close(self) -> None:
        """Leaves the camera."""
        if hasattr(self, "_capture"):
            self._capture.close()

    def probe(self) -> None:
        """Opens the video once."""
        probe_video(self.origin())
