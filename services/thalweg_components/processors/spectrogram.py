"""spectrogram: how loud each frequency of audio is over time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from thalweg import Context, RecordError, component
from thalweg.graph.types import StreamType
from thalweg_components.sounds import audio_type, mix, samples_of

In = TypeVar("In")
FLOOR_DB = -120.0


class Params(BaseModel):
    """How finely time and frequency are cut."""

    model_config = ConfigDict(extra="forbid")

    size: int = Field(1024, ge=16, le=65_536, description="samples in a window")
    hop: int = Field(512, ge=1, le=65_536, description="samples from one window to the next")
    bands: int | None = Field(
        None, ge=1, le=4096, description="bands of equal width that frequencies are gathered in; without it, size / 2 + 1"
    )

    @model_validator(mode="after")
    def _check_sizes(self) -> Params:
        if self.size & (self.size - 1):
            raise ValueError("size is a power of two")
        if self.hop > self.size:
            raise ValueError("hop is at most size")
        if self.bands is not None and self.bands > self.size // 2 + 1:
            raise ValueError("bands is at most size / 2 + 1")
        return self


@dataclass
class Column:
    """Levels from low to high frequencies, dB of full scale; `index` from 0, `time` of the window's start, seconds of the stream."""

    index: int
    time: float
    levels: list[float]


@dataclass
class State:
    """Samples that no window is complete with, and how many windows there have been."""

    rate: int = 0
    tail: bytes = b""
    count: int = 0


@component("spectrogram", version="1.0.0")
class Spectrogram:
    """Says how loud each frequency of audio is, window by window.

    **Ports**: `in` takes `pcm16` audio, or records with a field `audio`: the pieces of one stream, in order. `out` emits one
    `record{index: int, time: float, levels: list[float]}` a window: `time` is that of its start, in seconds from the start of the stream;
    its event time is that of the piece which completed it. Samples at the end that fill no window are left out.

    **Params**: `size` (samples in a window, a power of two from 16 to 65,536), `hop` (samples from one window to the next), `bands`
    (bands of equal width; without it, level k is that of the frequency k * rate / `size`).

    **Levels** are in dB of full scale, to 0.01, not below -120: a sine wave of full amplitude has about 0 where its frequency is. The
    window is Hann's; several channels are mixed into one; a band has the power of its frequencies together.

    **Faults**: audio that is no `pcm16`, is cut within a sample or changes its rate is a faulty record.
    """

    params: Params
    state: State

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """Checks that there is audio in the input; the output is always the same."""
        audio_type(inputs["in"])
        return {}

    def setup(self, context: Context) -> None:
        """Works out the window."""
        self._window = np.hanning(self.params.size + 1)[:-1]
        bins = self.params.size // 2 + 1
        self._starts = np.arange(self.params.bands or bins) * bins // (self.params.bands or bins)

    def process(self, record: In) -> Iterator[Column]:
        """The windows that the piece completes."""
        rate, samples = samples_of(record)
        if self.state.rate not in (0, rate):
            raise RecordError(f"audio at {rate} Hz follows one at {self.state.rate} Hz")
        self.state.rate = rate
        mono = np.concatenate([np.frombuffer(self.state.tail, np.int16), mix(samples, 1)[:, 0]])
        size, hop = self.params.size, self.params.hop
        count = max(0, (len(mono) - size) // hop + 1)
        first, self.state.tail = self.state.count, mono[count * hop :].tobytes()
        self.state.count += count
        for number in range(count):
            levels = self._levels(mono[number * hop : number * hop + size])
            yield Column(first + number, (first + number) * hop / rate, levels)

    def _levels(self, samples: NDArray[np.int16]) -> list[float]:
        spectrum = np.abs(np.fft.rfft(samples / 32768 * self._window)) * 2 / self._window.sum()
        power = np.add.reduceat(spectrum**2, self._starts)
        found: list[float] = np.round(10 * np.log10(np.maximum(power, 10 ** (FLOOR_DB / 10))), 2).tolist()
        return found
