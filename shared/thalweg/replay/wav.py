"""Writes recorded audio to a WAV file."""

from __future__ import annotations

import wave
from collections.abc import Iterable
from pathlib import Path

import msgspec

from thalweg.errors import RunFailedError
from thalweg.replay.reader import Record
from thalweg.sdk.values import Audio

_decode = msgspec.msgpack.Decoder(Audio).decode


def write_wav(records: Iterable[Record], path: Path) -> int:
    """Writes pieces of 16-bit audio one after the other; how many. The rate and the channels are those of the first.

    Raises:
        RunFailedError: `data.invalid`, a piece is not like the first, or no `pcm16`.
        OSError: the file cannot be written.
    """
    count, shape = 0, (0, 0)
    with path.open("wb") as raw, wave.open(raw, "wb") as out:
        out.setsampwidth(2)
        for record in records:
            audio = _decode(record.packed)
            if count == 0:
                shape = audio.rate, audio.channels
                out.setframerate(audio.rate)
                out.setnchannels(audio.channels)
            _check(record.index, audio, shape)
            out.writeframesraw(audio.data)
            count += 1
        if count == 0:
            out.setframerate(48_000)
            out.setnchannels(1)
    return count


def _check(index: int, audio: Audio, shape: tuple[int, int]) -> None:
    if audio.format != "pcm16":
        raise RunFailedError(f"record {index}: a .wav file takes pcm16, this is {audio.format}", code="data.invalid")
    if (audio.rate, audio.channels) != shape:
        what = f"record {index}: {audio.rate} Hz in {audio.channels} channels, the first has {shape[0]} Hz in {shape[1]}"
        raise RunFailedError(what, code="data.invalid")
