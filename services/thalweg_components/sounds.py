"""Audio as samples, and audio inside records."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg import Audio, Context, RecordError
from thalweg.errors import RejectedError
from thalweg.graph.types import AudioType, Record, StreamType, format_type

Samples = NDArray[np.int16]
PCM16, BYTES_PER_SAMPLE = "pcm16", 2
MIN_RATE, MAX_RATE, MAX_CHANNELS = 1000, 384_000, 32


def audio_type(source: StreamType) -> AudioType:
    """The audio that arrives, bare or in the field `audio` of a record.

    Raises:
        RejectedError: `type.unsupported`, when there is none.
    """
    found = dict(source.fields).get("audio") if isinstance(source, Record) else source
    if not isinstance(found, AudioType):
        raise RejectedError(f"{format_type(source)} is no audio, nor a record with a field audio: audio", code="type.unsupported")
    return found


def with_audio_type(source: StreamType, audio: AudioType) -> StreamType:
    """The input's type with other audio."""
    if not isinstance(source, Record):
        return audio
    return Record(tuple((name, audio if name == "audio" else kind) for name, kind in source.fields), source.name)


def samples_of(record: Any) -> tuple[int, Samples]:
    """Rate, and samples as frames x channels.

    Raises:
        RecordError: it is no `pcm16`, or not of the size that it says.
    """
    audio = record if isinstance(record, Audio) else record.audio
    if audio.format != PCM16:
        raise RecordError(f"audio of format {audio.format[:40]!r}; only {PCM16} can be worked on")
    if not MIN_RATE <= audio.rate <= MAX_RATE or not 1 <= audio.channels <= MAX_CHANNELS:
        raise RecordError(f"audio of {audio.channels} channels at {audio.rate} Hz is beyond {MAX_CHANNELS} at {MIN_RATE} to {MAX_RATE}")
    if len(audio.data) % (BYTES_PER_SAMPLE * audio.channels):
        raise RecordError(f"{len(audio.data)} bytes are no whole frames of {audio.channels} channels")
    return audio.rate, np.frombuffer(audio.data, "<i2").astype(np.int16).reshape(-1, audio.channels)


def to_audio(samples: Samples, rate: int) -> Audio:
    """Frames x channels as `pcm16`."""
    return Audio(PCM16, rate, samples.shape[1], samples.astype("<i2").tobytes())


def with_audio(record: Any, audio: Audio, context: Context) -> Any:
    """The record with other audio, as the output's own class; bare audio is just replaced."""
    if isinstance(record, Audio):
        return audio
    record_class = context.record_class("out")
    return record_class(*(audio if name == "audio" else getattr(record, name) for name in record_class.__struct_fields__))


def mix(samples: Samples, channels: int) -> Samples:
    """With another number of channels: one is the mean of all, of one there may be several copies.

    Raises:
        RecordError: from several to several others there is no rule.
    """
    have = samples.shape[1]
    if have == channels:
        return samples
    if channels == 1:
        total = samples.astype(np.int64).sum(axis=1, keepdims=True)
        return np.asarray((total * 2 + have) // (2 * have), dtype=np.int16)
    if have == 1:
        return np.repeat(samples, channels, axis=1)
    raise RecordError(f"audio of {have} channels cannot become one of {channels}", hint="go by one channel")
