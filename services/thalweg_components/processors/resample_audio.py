"""resample-audio: audio at another rate, or with another number of channels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from thalweg import Context, RecordError, component
from thalweg.errors import RejectedError
from thalweg.graph.types import AudioType, StreamType
from thalweg_components.polyphase import Stream, can_resample, resample
from thalweg_components.sounds import MAX_CHANNELS, MAX_RATE, MIN_RATE, audio_type, mix, samples_of, to_audio, with_audio, with_audio_type
from thalweg_components.type_params import concrete_type

In = TypeVar("In")
Out = TypeVar("Out")


class Params(BaseModel):
    """What is wanted."""

    model_config = ConfigDict(extra="forbid")

    to: str = Field(max_length=64, description="`audio<rate,channels>`, as in `audio<16000,1>`; rate in Hz; `?` keeps the channels")

    @field_validator("to")
    @classmethod
    def _is_audio(cls, text: str) -> str:
        kind = concrete_type(text)
        if not isinstance(kind, AudioType) or kind.rate is None or not MIN_RATE <= kind.rate <= MAX_RATE:
            raise ValueError(f"{text!r} is not audio<rate,channels> with a rate from {MIN_RATE} to {MAX_RATE}")
        if kind.channels is not None and not 1 <= kind.channels <= MAX_CHANNELS:
            raise ValueError(f"channels: 1 to {MAX_CHANNELS}")
        return text


@dataclass
class State:
    """Where the stream stands."""

    stream: Stream = field(default_factory=Stream)


@component("resample-audio", version="1.0.0", converter=True)
class ResampleAudio:
    """Turns audio into audio of another rate, or with another number of channels.

    **Ports**: `in` takes `pcm16` audio, or records with a field `audio`: the pieces of one stream, in order. `out` emits exactly one piece
    for each, so that it zips with the input; it may be empty where the input's is very short.

    **Params**: `to` (`audio<16000,1>`: rate from 1,000 to 384,000 Hz, channels; `audio<16000,?>` keeps the channels). One channel is the
    mean of all; one becomes several by copies; from several to several others there is no way.

    **Sound**: a windowed sinc filter of 16 zero crossings to each side, in whole numbers: every machine gives the same samples, however
    the stream is cut into pieces. The result lags behind by 16 samples of the lower rate (1 ms at 16 kHz). At the rate that it has
    already, audio passes through unfiltered.

    **Faults**: rates so far apart that the filter would be huge (1,001 to 384,000 Hz) are refused. Audio that is no `pcm16`, is cut
    within a sample or changes its rate or channels is a faulty record.
    """

    params: Params
    state: State

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """The input's type with the audio that is wanted."""
        have, wanted = audio_type(inputs["in"]), _wanted(params)
        if have.rate is not None and wanted.rate is not None and not can_resample(have.rate, wanted.rate):
            raise RejectedError(f"to: {have.rate} to {wanted.rate} Hz need too large a filter", code="params.invalid")
        channels = have.channels if wanted.channels is None else wanted.channels
        if None not in (have.channels, channels) and have.channels != channels and 1 not in (have.channels, channels):
            raise RejectedError(f"to: {have.channels} channels cannot become {channels}", code="params.invalid", hint="go by one channel")
        return {"out": with_audio_type(inputs["in"], AudioType(wanted.rate, channels))}

    def setup(self, context: Context) -> None:
        """Looks up what is wanted."""
        self._wanted = _wanted(self.params)

    def process(self, record: In, context: Context) -> Out:  # type: ignore[type-var]  # what Out is, resolve_types says
        """The record with its audio at the new rate."""
        rate, samples = samples_of(record)
        samples = mix(samples, self._wanted.channels or samples.shape[1])
        to, stream = self._wanted.rate or rate, self.state.stream
        if not stream.rate:
            if not can_resample(rate, to):
                raise RecordError(f"{rate} to {to} Hz need too large a filter")
            stream.rate, stream.channels = rate, samples.shape[1]
        if (rate, samples.shape[1]) != (stream.rate, stream.channels):
            raise RecordError(f"audio of {samples.shape[1]} channels at {rate} Hz follows one of {stream.channels} at {stream.rate} Hz")
        if rate != to:
            samples = resample(stream, samples, to)
        return with_audio(record, to_audio(samples, to), context)  # type: ignore[no-any-return]


def _wanted(params: Params) -> AudioType:
    kind: Any = concrete_type(params.to)
    return AudioType(kind.rate, kind.channels)
