"""Logs to record: two ports, a snapshot, a cut body, random blobs large enough for several chunks."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec

from thalweg.replay.recorder import Recorder
from thalweg.wire import subjects
from thalweg.wire.batch import encode_batch
from thalweg.wire.commit import CHUNK_HEADER, HEADER, Commit, PortDigest, encode_commit
from thalweg.wire.logged import Logged
from thalweg.wire.spec import DeploymentSpec, VertexSpec

PLACE = ("w", "d")
SPEC = DeploymentSpec(
    *PLACE,
    "graph",
    [
        VertexSpec("source", "c@1", "", "", "source", outputs={"out": "int"}),
        VertexSpec("blobs", "c@1", "", "", "source", outputs={"out": "bytes"}),
    ],
    capture="all",
)
WRITTEN = {("source", "out"): 300, ("blobs", "out"): 30}
ACCOUNT = {"verdict": "met", "vertices": {}}
ABOUT = {"format": "thalweg-replay/1", "capture": "all"}


def log() -> list[Logged]:
    """300 numbers in 100 messages, 30 blobs of 100 KB, one of them in two pieces."""
    rng, found = random.Random(7), list[Logged]()

    def write(vertex: str, port: str, data: bytes, headers: dict[str, str]) -> None:
        sequence = len(found) + 1
        found.append(Logged(subjects.port(*PLACE, vertex, port), sequence, 10**18 + sequence * 1000, headers, data))

    for number in range(100):
        values = [number * 3 + one for one in range(3)]
        commit = Commit(1, number + 1, ports={"out": PortDigest(values[-1] + 1, "00")})
        body = encode_batch([msgspec.msgpack.encode(one) for one in values], [one * 5 for one in values], values, 0, None)
        write("source", "out", body, {HEADER: encode_commit(commit), "Nats-Expected-Last-Subject-Sequence": str(number)})
        if number % 10 == 0:
            write("source", "_state", bytes(50_000), {HEADER: encode_commit(commit)})
        if number < 30:
            blob = encode_batch([msgspec.msgpack.encode(rng.randbytes(100_000))], [number], [number], 0, None)
            cut = 60_000 if number == 20 else len(blob)
            pieces = [blob[:cut], blob[cut:]] if cut < len(blob) else [blob]
            for index, piece in enumerate(pieces, 1):
                chunk = {CHUNK_HEADER: f"{index}/{len(pieces)}"} if len(pieces) > 1 else {}
                write("blobs", "out", piece, {**chunk, HEADER: encode_commit(Commit(1, number + 1))})
    return found


def recorder(path: Path) -> Recorder:
    """One for that log."""
    types = {(one.name, port): kind for one in SPEC.vertices for port, kind in one.outputs.items()}
    return Recorder(path, ABOUT, msgspec.json.encode(SPEC), lambda vertex, port: types.get((vertex, port)), is_gapless=True)


def record(path: Path, messages: list[Logged]) -> bytes:
    """The whole file."""
    one = recorder(path)
    for message in messages:
        one.add(message)
    one.seal(WRITTEN, None, account=ACCOUNT)
    return path.read_bytes()
