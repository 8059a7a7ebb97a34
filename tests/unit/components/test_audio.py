"""Sound: read from files, at other rates, as levels of frequencies."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from thalweg import Audio, RecordError, RejectedError
from thalweg.graph.types import format_type
from thalweg_components.polyphase import can_resample

Drive = Callable[..., Any]


def sine(hz: float, rate: int, seconds: float, channels: int = 1, loud: float = 0.5) -> NDArray[np.int16]:
    wave_form = np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate) * 32767 * loud
    return np.repeat(np.rint(wave_form).astype(np.int16)[:, None], channels, axis=1)


def pieces(samples: NDArray[np.int16], rate: int, *cuts: int) -> list[Audio]:
    return [Audio("pcm16", rate, samples.shape[1], part.tobytes()) for part in np.split(samples, cuts)]


def joined(found: Any) -> NDArray[np.int16]:
    return np.concatenate([np.frombuffer(one.data, "<i2").reshape(-1, one.channels) for one in found.out])


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "sound.wav"
    with wave.open(str(path), "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(sine(440, 8000, 1.25, channels=2).tobytes())
    return path


def test_a_file_is_read_piece_by_piece_and_goes_on_behind_any_cursor(drive: Drive, sound: Path) -> None:
    found = drive("audio-file-source", files={"audio": sound}, params={"piece_s": 0.5})
    assert format_type(found.types["out"]) == "record{index: int, time: float, audio: audio<8000,2>}"
    assert [(one.index, one.time, len(one.audio.data)) for one in found.out] == [(0, 0.0, 16000), (1, 0.5, 16000), (2, 1.0, 8000)]
    assert found.times == [0, 500_000_000, 1_000_000_000]
    assert b"".join(one.audio.data for one in found.out) == sine(440, 8000, 1.25, channels=2).tobytes()
    assert drive("audio-file-source", files={"audio": sound}, params={"piece_s": 0.5}, cursor=found.cursors[1]).out == found.out[2:]


def test_what_is_no_audio_is_a_fault_and_a_file_without_sound_gives_nothing(drive: Drive, sound: Path) -> None:
    with wave.open(str(sound), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
    assert drive("audio-file-source", files={"audio": sound}).out == []
    sound.write_bytes(b"no sound at all" * 100)
    with pytest.raises(RecordError, match="piece 0: the audio cannot be decoded"):
        drive("audio-file-source", files={"audio": sound})


@pytest.mark.parametrize(("rate", "to"), [(48000, 16000), (16000, 44100), (44100, 48000), (8000, 8000)])
def test_a_tone_stays_what_it_was_at_another_rate(drive: Drive, rate: int, to: int) -> None:
    found = drive("resample-audio", pieces(sine(1000, rate, 0.5), rate), types={"in": "audio"}, params={"to": f"audio<{to},1>"})
    assert format_type(found.types["out"]) == f"audio<{to},1>"
    got = joined(found)[:, 0].astype(float)
    delay_s = 0.0 if rate == to else 16 / min(rate, to)
    wanted = np.sin(2 * np.pi * 1000 * (np.arange(len(got)) / to - delay_s)) * 32767 * 0.5
    inner = slice(round(to * 0.1), round(to * 0.4))
    assert len(got) == round(to * 0.5)
    assert np.abs(got[inner] - wanted[inner]).max() < 12


def test_what_the_lower_rate_cannot_hold_is_filtered_out(drive: Drive) -> None:
    found = drive("resample-audio", pieces(sine(7000, 48000, 0.2), 48000), types={"in": "audio<48000,1>"}, params={"to": "audio<8000,1>"})
    assert np.abs(joined(found)[200:]).max() < 8


@pytest.mark.parametrize("restart_at", [None, 1, 3])
def test_however_a_stream_is_cut_the_samples_are_the_same(drive: Drive, restart_at: int | None) -> None:
    samples, params = sine(440, 44100, 0.1, channels=2), {"to": "audio<16000,?>"}
    whole = drive("resample-audio", pieces(samples, 44100), types={"in": "audio<44100,2>"}, params=params)
    cut = drive(
        "resample-audio", pieces(samples, 44100, 1, 2, 100, 3000), types={"in": "audio<44100,2>"}, params=params, restart_at=restart_at
    )
    assert format_type(cut.types["out"]) == "audio<16000,2>"
    assert len(cut.out) == 5
    assert np.array_equal(joined(cut), joined(whole))
    level = drive("resample-audio", pieces(np.full((4000, 1), 1234, np.int16), 44100), types={"in": "audio"}, params=params)
    assert set(joined(level)[100:, 0]) == {1234}


def test_channels_are_mixed_and_copied(drive: Drive) -> None:
    stereo = np.array([[100, 201], [-3, 0], [32767, 32767]], np.int16)
    mono = drive(
        "resample-audio",
        [{"n": 1, "audio": pieces(stereo, 8000)[0]}],
        types={"in": "record{n: int, audio: audio}"},
        params={"to": "audio<8000,1>"},
    )
    assert np.frombuffer(mono.out[0].audio.data, "<i2").tolist() == [151, -1, 32767]
    back = drive("resample-audio", [mono.out[0].audio], types={"in": "audio<8000,1>"}, params={"to": "audio<8000,2>"})
    assert joined(back).tolist() == [[151, 151], [-1, -1], [32767, 32767]]


def test_audio_that_cannot_be_resampled_is_refused(drive: Drive) -> None:
    for to in ("audio", "audio<?,1>", "audio<0,1>", "audio<8000,0>", "int", "audio<999999,1>"):
        with pytest.raises(ValidationError):
            drive("resample-audio", types={"in": "audio"}, params={"to": to})
    with pytest.raises(RejectedError, match="3 channels cannot become 2"):
        drive("resample-audio", types={"in": "audio<8000,3>"}, params={"to": "audio<8000,2>"})
    with pytest.raises(RejectedError, match="too large a filter"):
        drive("resample-audio", types={"in": "audio<1001,1>"}, params={"to": "audio<384000,1>"})
    with pytest.raises(RejectedError, match="int is no audio"):
        drive("resample-audio", types={"in": "int"}, params={"to": "audio<8000,1>"})
    assert can_resample(44100, 48000) and not can_resample(384_000, 1001)
    faulty = [Audio("opus", 8000, 1, b""), Audio("pcm16", 8000, 2, b"abc"), Audio("pcm16", 0, 1, b""), Audio("pcm16", 8000, 0, b"")]
    for audio in faulty:
        with pytest.raises(RecordError):
            drive("resample-audio", [audio], types={"in": "audio"}, params={"to": "audio<16000,1>"})
    with pytest.raises(RecordError, match="follows one of 1 at 8000 Hz"):
        drive(
            "resample-audio",
            [*pieces(sine(1, 8000, 0.01), 8000), *pieces(sine(1, 9000, 0.01), 9000)],
            types={"in": "audio"},
            params={"to": "audio<16000,1>"},
        )


@pytest.mark.parametrize("restart_at", [None, 1, 2])
def test_a_tone_is_where_its_frequency_is(drive: Drive, restart_at: int | None) -> None:
    tone = pieces(sine(1000, 8000, 0.5, loud=1.0), 8000, 10, 1500)
    found = drive("spectrogram", tone, types={"in": "audio"}, params={"size": 256, "hop": 128}, restart_at=restart_at)
    assert [one.index for one in found.out] == list(range((4000 - 256) // 128 + 1))
    assert found.out[2].time == 256 / 8000
    levels = found.out[5].levels
    assert (len(levels), int(np.argmax(levels))) == (129, 1000 * 256 // 8000)
    assert abs(max(levels)) < 0.1 and min(levels) < -90
    banded = drive("spectrogram", tone, types={"in": "audio"}, params={"size": 256, "hop": 128, "bands": 8})
    assert (len(banded.out[5].levels), int(np.argmax(banded.out[5].levels))) == (8, 2)


def test_silence_is_at_the_floor_and_too_little_sound_gives_no_window(drive: Drive) -> None:
    silence = pieces(np.zeros((64, 2), np.int16), 8000)
    assert drive("spectrogram", silence, types={"in": "audio<8000,2>"}, params={"size": 64, "hop": 64}).out[0].levels == [-120.0] * 33
    assert drive("spectrogram", silence, types={"in": "audio"}).out == []
    for params in ({"size": 100}, {"size": 64, "hop": 65}, {"size": 64, "hop": 1, "bands": 34}):
        with pytest.raises(ValidationError):
            drive("spectrogram", types={"in": "audio"}, params=params)
    with pytest.raises(RecordError, match="follows one at 8000 Hz"):
        drive("spectrogram", [*silence, *pieces(np.zeros((64, 2), np.int16), 9000)], types={"in": "audio"})
