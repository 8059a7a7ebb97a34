"""audio-file-source: the sound of an audio file, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import av
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from thalweg import At, Audio, Context, InputFile, RecordError, component
from thalweg.graph.types import FLOAT, INT, AudioType, Record, StreamType
from thalweg_components.sounds import BYTES_PER_SAMPLE, PCM16


class Params(BaseModel):
    """How it is cut."""

    model_config = ConfigDict(extra="forbid")

    piece_s: float = Field(1.0, ge=0.001, le=60, description="length of a piece, seconds; the last one may be shorter")


@dataclass
class Piece:
    """A piece of sound: `index` from 0, `time` of its start in seconds."""

    index: int
    time: float
    audio: Audio


@component("audio-file-source", version="1.0.0")
class AudioFileSource:
    """Decodes an audio file piece by piece.

    **Emits** on `out` `record{index: int, time: float, audio: audio<rate,channels>}`: `pcm16` samples with the file's own rate and channels
    (see resample-audio for others). The index counts from 0, `time` is that of the piece's start in seconds of sound, and is the
    event time too. Pieces follow one another without gap or overlap.

    **Files**: `audio` (audio): anything that FFmpeg reads; its first audio stream is used.

    **Params**: `piece_s` (seconds, 0.001 to 60; rounded to whole samples).

    **Faults**: a file that is no audio or is damaged is a fault that names the piece at which it shows. A file without sound gives nothing.

    **Resumes** at the piece behind the last committed one, by decoding from the start: exact for every codec.
    """

    params: Params
    audio: Annotated[InputFile, "audio"]

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """A piece, with the file's rate and channels where it can be looked into."""
        kind = _kind(files["audio"]) if "audio" in files else AudioType()
        return {"out": Record((("index", INT), ("time", FLOAT), ("audio", kind)), "Piece")}

    def read(self, cursor: int | None, context: Context) -> Iterator[At[Piece]]:
        """Pieces from index `cursor` on."""
        for index, time_ns, audio in _pieces(self.audio.path, self.params.piece_s):
            if index >= (cursor or 0):
                yield At(Piece(index, time_ns / 1_000_000_000, audio), index + 1, time_ns)


def _kind(path: Path) -> AudioType:
    """Rate and channels; unknown ones of a file that the run will find to be no audio."""
    try:
        with av.open(str(path)) as container:
            codec = container.streams.audio[0].codec_context
            return AudioType(codec.sample_rate or None, codec.channels or None)
    except (av.error.FFmpegError, IndexError):
        return AudioType()


def _pieces(path: Path, piece_s: float) -> Iterator[tuple[int, int, Audio]]:
    """Index, start in ns, sound of each piece."""
    index, held, rate, channels = 0, bytearray(), 0, 0
    try:
        for rate, channels, data in _decoded(path):
            frames = max(1, round(piece_s * rate))
            size = frames * channels * BYTES_PER_SAMPLE
            held += data
            while len(held) >= size:
                yield index, index * frames * 1_000_000_000 // rate, Audio(PCM16, rate, channels, bytes(held[:size]))
                del held[:size]
                index += 1
    except av.error.FFmpegError as error:
        hint = "the file is damaged, truncated or no audio"
        raise RecordError(f"the audio cannot be decoded: {error.strerror}", where=f"piece {index}", hint=hint) from None
    if held:
        frames = max(1, round(piece_s * rate))
        yield index, index * frames * 1_000_000_000 // rate, Audio(PCM16, rate, channels, bytes(held))


def _decoded(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Rate, channels, and samples as the codec gives them, interleaved."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            raise RecordError("the file has no audio stream", where="piece 0")
        resampler: Any = None
        given: tuple[int, int] | None = None
        for frame in container.decode(container.streams.audio[0]):
            now = (frame.sample_rate, frame.layout.nb_channels)
            if given is None:
                given, resampler = now, av.AudioResampler(format="s16", layout=frame.layout, rate=frame.sample_rate)
            if now != given:
                raise RecordError(f"the sound changes from {given[1]} channels at {given[0]} Hz to {now[1]} at {now[0]}")
            yield from ((*now, _bytes(one)) for one in resampler.resample(frame))
        if resampler is not None and given is not None:
            yield from ((*given, _bytes(one)) for one in resampler.resample(None))


def _bytes(frame: Any) -> bytes:
    return np.asarray(frame.to_ndarray(), dtype="<i2").tobytes()
