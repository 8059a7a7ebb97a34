"""Changes the rate of sampled audio piece by piece, in whole numbers, so that every machine gives the same samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from thalweg_components.sounds import Samples

_ZEROS, _BETA, _UNIT_BITS = 16, 8.0, 15  # zero crossings to each side; Kaiser window of about 80 dB; coefficients are 1/32768
MAX_COEFFICIENTS = 2_000_000


@dataclass
class Stream:
    """Where a stream stands: its last frames, the place of the first of them in the input, the next output frame."""

    rate: int = 0
    channels: int = 0
    tail: bytes = b""
    base: int = 0
    next: int = 0


def can_resample(rate: int, to: int) -> bool:
    """Whether the ratio of the rates has a filter of bearable size."""
    up, down = _ratio(rate, to)
    return up * 2 * _half(up, down) <= MAX_COEFFICIENTS


def resample(stream: Stream, samples: Samples, to: int) -> Samples:
    """The next piece at the rate `to`, delayed by 16 samples of the lower one of both rates; moves the stream on.

    Pieces may be cut in any way: together they always give the same samples.
    """
    up, down = _ratio(stream.rate, to)
    half = _half(up, down)
    taps = 2 * half
    if not stream.tail:
        stream.tail, stream.base = bytes(2 * taps * stream.channels), -taps
    held = np.frombuffer(stream.tail, np.int16).reshape(-1, stream.channels)
    whole = np.concatenate([held, samples])
    end = stream.base + len(whole)
    count = max(0, -(-end * up // down) - stream.next)
    numbers = np.arange(stream.next, stream.next + count, dtype=np.int64) * down
    last = numbers // up - stream.base  # place of the newest input frame that an output frame needs
    out = np.empty((count, stream.channels), np.int16)
    coefficients, phases = _coefficients(up, down), numbers % up
    for channel in range(stream.channels):
        windows = np.lib.stride_tricks.sliding_window_view(whole[:, channel], taps)
        out[:, channel] = _apply(windows, last - taps + 1, coefficients, phases)
    kept = len(whole) - taps
    stream.tail, stream.base, stream.next = whole[kept:].astype(np.int16).tobytes(), stream.base + kept, stream.next + count
    return out


def _apply(windows: NDArray[np.int16], starts: NDArray[np.int64], coefficients: NDArray[np.int64], phases: NDArray[np.int64]) -> Samples:
    """In steps, so that a long piece does not need `taps` times its own memory."""
    found, step = np.empty(len(starts), np.int64), max(1, 1_000_000 // coefficients.shape[1])
    for low in range(0, len(starts), step):
        part = slice(low, low + step)
        found[part] = np.einsum("ij,ij->i", windows[starts[part]].astype(np.int64), coefficients[phases[part]])
    return np.asarray(np.clip((found + (1 << _UNIT_BITS - 1)) >> _UNIT_BITS, -32768, 32767), dtype=np.int16)


def _ratio(rate: int, to: int) -> tuple[int, int]:
    common = math.gcd(rate, to)
    return to // common, rate // common


def _half(up: int, down: int) -> int:
    """Input frames to each side of an output frame."""
    return math.ceil(_ZEROS * max(1.0, down / up))


@lru_cache(maxsize=4)
def _coefficients(up: int, down: int) -> NDArray[np.int64]:
    """One row of whole numbers a phase; each row sums to one unit, so that silence and steady levels stay exactly what they are."""
    half, cutoff = _half(up, down), min(1.0, up / down)
    distance = np.arange(-half + 1, half + 1)[None, :] - np.arange(up)[:, None] / up
    window = np.i0(_BETA * np.sqrt(np.clip(1 - (distance / half) ** 2, 0, None)))
    rows = np.sinc(distance * cutoff) * window
    found: NDArray[np.int64] = np.rint(rows / rows.sum(axis=1, keepdims=True) * (1 << _UNIT_BITS)).astype(np.int64)
    found[np.arange(up), found.argmax(axis=1)] += (1 << _UNIT_BITS) - found.sum(axis=1)
    return found
