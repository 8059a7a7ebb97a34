"""Video and audio files, by FFmpeg's demultiplexers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thalweg.artifacts.content.faults import Facts, mismatch

# Only containers that hold their media themselves: play lists would make FFmpeg read other files, and it takes plain text
# and images for video.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,ogg,wav,w64,flac,mp3,aac,asf,ivf,"
    "h264,hevc,obu,mjpeg,mxf,m4v,aiff,au,amr,caf,ac3,eac3,dv,nut,rm"
)


def check_video(path: Path) -> None:
    """Refuse what has no video stream, does not decode, or ends before the frames that it announces."""
    with _opened(path, "video") as (container, stream):
        announced, found = stream.frames, 0
        _decode_first(path, container, stream)
        container.seek(0)
        for packet in container.demux(stream):
            found += packet.size > 0
    if found < announced:
        raise mismatch(path.name, f"ends after frame {found} of {announced}", "the file is truncated")


def check_audio(path: Path) -> None:
    """Refuse what has no audio stream, or does not decode."""
    with _opened(path, "audio") as (container, stream):
        if any(not one.disposition & one.disposition.attached_pic for one in container.streams.video):
            raise mismatch(path.name, "this is a video", "put it as video")
        _decode_first(path, container, stream)


def describe_video(path: Path) -> Facts:
    """Codec, width, height, frames a second, duration."""
    with _opened(path, "video") as (container, stream):
        rate = stream.average_rate
        return {
            "codec": stream.codec_context.name,
            "width": stream.codec_context.width,
            "height": stream.codec_context.height,
            "fps": round(float(rate), 6) if rate else None,
            "duration_s": _duration_s(container),
        }


def describe_audio(path: Path) -> Facts:
    """Codec, rate, channels, duration."""
    with _opened(path, "audio") as (container, stream):
        context = stream.codec_context
        return {"codec": context.name, "rate": context.sample_rate, "channels": context.channels, "duration_s": _duration_s(container)}


@contextmanager
def _opened(path: Path, kind: str) -> Iterator[tuple[Any, Any]]:
    """The container and its first stream of a kind; FFmpeg's errors in our words."""
    import av

    try:
        with av.open(str(path), options={"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}) as container:
            stream = next(iter(getattr(container.streams, kind)), None)
            if stream is None:
                raise mismatch(path.name, f"there is no {kind} in it")
            yield container, stream
    except av.FFmpegError as error:
        raise mismatch(path.name, f"no {kind} that can be read: {error.strerror}", "damaged, truncated or of another type") from None


def _decode_first(path: Path, container: Any, stream: Any) -> None:
    if next(container.decode(stream), None) is None:
        raise mismatch(path.name, "there is nothing in it that decodes")


def _duration_s(container: Any) -> float | None:
    return round(container.duration / 1_000_000, 6) if container.duration else None
