"""Writes the records of one recorded port to a file of another kind, by the component that leaves such files in a graph."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from thalweg.errors import RejectedError, RunFailedError
from thalweg.graph.accept import find_conflict
from thalweg.graph.parse import parse_type
from thalweg.graph.types import AudioType, StreamType, format_type
from thalweg.replay.reader import Record, Replay
from thalweg.replay.wav import write_wav
from thalweg.runtime.assemble import assemble
from thalweg.runtime.engine import Engine, Limits, Turn
from thalweg.runtime.inputs import BEGINNING, Message
from thalweg.sdk.catalog import Catalog
from thalweg.testing.vertex import vertex_of
from thalweg.wire.batch import encode_batch
from thalweg.wire.commit import END_OF_TIME

MCAP, WAV = ".mcap", ".wav"
_COMPONENTS = {".jsonl": "jsonl-file", ".csv": "csv-file", ".parquet": "parquet-file", ".mp4": "video-file", "": "image-directory"}
ENDINGS = (MCAP, *(one for one in _COMPONENTS if one), WAV)
_HINT = f"files that end in {', '.join(ENDINGS)}, or a directory for images"
DEFAULT_FPS, MAX_FPS = 25.0, 1000.0


def check_ending(path: Path) -> None:
    """Raises RejectedError: `export.unknown_format`."""
    if path.suffix.lower() not in (*_COMPONENTS, MCAP, WAV):
        raise RejectedError(f"{path}: nothing is known to write such a file", code="export.unknown_format", hint=_HINT)


def write_port(replay: Replay, vertex: str, port: str, path: Path) -> int:
    """Writes the records of a port by the ending of the file; how many. Blocking, in bounded memory.

    Nothing is left where it cannot be done; a file that is there is replaced, a directory only where it is empty.

    Raises:
        RejectedError: records of that type do not go into such a file (`type.unsupported`), or the directory holds something.
        RunFailedError: a record does not.
        OSError: the file cannot be written.
    """
    kind = _type_of(replay, vertex, port)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and any(path.iterdir()):
        raise RejectedError(f"{path} is a directory that holds something: it is not replaced", code="out.not_ours")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".thalweg-") as folder:
        made = Path(folder) / "made"
        if path.suffix.lower() == WAV:
            _check_audio(f"{vertex}.{port}", kind)
            count = write_wav(replay.records(vertex, port), made)
        else:
            count = _by_component(replay, vertex, port, kind, _COMPONENTS[path.suffix.lower()], made)
        made.replace(path)
    return count


def _type_of(replay: Replay, vertex: str, port: str) -> StreamType:
    vertices = replay.spec.vertices if replay.spec is not None else []
    return parse_type(next(one.outputs[port] for one in vertices if one.name == vertex))


def _check_audio(place: str, kind: StreamType) -> None:
    if find_conflict(kind, AudioType(), {}) is not None:
        raise RejectedError(f"{place} has {format_type(kind)}; a .wav file takes audio", code="type.unsupported", hint=_HINT)


def _by_component(replay: Replay, vertex: str, port: str, kind: StreamType, name: str, made: Path) -> int:
    release = Catalog().find(name, "1.0.0")
    assert release is not None
    params = {"fps": frame_rate(replay.records(vertex, port))} if name == "video-file" else {}
    try:
        spec = vertex_of(release, "export", {"in": kind}, params)
    except ValueError as error:
        raise RejectedError(f"{vertex}.{port} has {format_type(kind)}: {error}", code="type.unsupported", hint=_HINT) from error
    (slot,) = spec.generated
    engine = assemble(spec, release, {}, {slot: made}, Limits(), parse_type)
    engine.restore(None, None)
    try:
        for message in _messages(replay, vertex, port, spec.inputs[0].key):
            engine.offer(message)
            _work_off(engine)
    finally:
        engine.program.close()
    return engine.standing.counters.records_in


def _messages(replay: Replay, vertex: str, port: str, edge: str) -> Iterator[Message]:
    last = 0
    for last, body in enumerate(replay.bodies(vertex, port), 1):
        yield Message(edge, last, last, body.data, BEGINNING, False)
    yield Message(edge, last + 1, last + 1, encode_batch([], [], [], BEGINNING, None), END_OF_TIME, True)


def _work_off(engine: Engine) -> None:
    """Works on all that was offered. Raises RunFailedError: a record does not go into the file."""
    while engine.failure is None and not engine.finished and engine.step() is not Turn.IDLE:
        engine.cut()
    if engine.failure is not None:
        raise RunFailedError(engine.failure.message, code=engine.failure.code, hint=engine.failure.hint)


def frame_rate(records: Iterator[Record]) -> float:
    """Frames per second by their event times, on average; `DEFAULT_FPS` where these are no times, as ordinals are."""
    count, first, last = 0, 0, 0
    for record in records:
        first, last, count = record.time_ns if count == 0 else first, record.time_ns, count + 1
    rate: Any = Fraction((count - 1) * 10**9, last - first) if count > 1 and last > first else None
    return float(rate) if rate is not None and rate <= MAX_FPS else DEFAULT_FPS
