"""Replays: writing and reading against the plain `mcap` package, size against raw msgpack, how evenly one is played."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import nats
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer
from nats.aio.msg import Msg

from benchmarks.parts import Load, readings
from benchmarks.stage import Stage, compared, figure
from thalweg.replay.reader import Replay
from thalweg.replay.recorder import Recorder
from thalweg.wire import subjects
from thalweg.wire.batch import encode_batch
from thalweg.wire.commit import HEADER, Commit, Counters, PortDigest, encode_commit
from thalweg.wire.logged import Logged
from thalweg.wire.spec import DeploymentSpec, VertexSpec

PLACE = ("bench", "replays")
SPEC = msgspec.json.encode(
    DeploymentSpec(*PLACE, "bench", [VertexSpec("source", "c@1", "", "", "source", outputs={"out": "json"})], capture="all")
)
MESSAGES, RECORDS = 400, 1000  # records a message
PLAYED, APART_NS = 400, 5_000_000
_pack = msgspec.msgpack.Encoder().encode


def measure(stage: Stage) -> list[dict[str, object]]:
    """MB of bodies a second of CPU time, and the ratios of runs next to each other; bytes; milliseconds."""
    log = _log(MESSAGES, RECORDS, 1_000_000)
    ours, plain = stage.folder / "ours.mcap", stage.folder / "plain.mcap"
    megabytes = sum(len(one.data) for one in log) / 1e6
    written, plainly, read, plainly_read = list[float](), list[float](), list[float](), list[float]()
    for _ in range(stage.rounds):
        plainly.append(megabytes / _cpu_s(lambda: _write_plainly(plain, log)))
        written.append(megabytes / _cpu_s(lambda: _write(ours, log)))
        plainly_read.append(megabytes / _cpu_s(lambda: _read_plainly(ours)))
        read.append(megabytes / _cpu_s(lambda: sum(1 for _ in Replay(ours).entries())))
    raw = sum(map(len, _values(MESSAGES * RECORDS))) / (MESSAGES * RECORDS)
    late = sorted(asyncio.run(_lateness_ms(stage)))
    return [
        figure("recorder", statistics.median(written), "MB/s"),
        compared("recorder against mcap's writer", written, plainly, ""),
        figure("reader, every message, checked", statistics.median(read), "MB/s"),
        compared("reader against mcap's reader", read, plainly_read, ""),
        figure("bytes a record of a replay", ours.stat().st_size / (MESSAGES * RECORDS), "B", digits=1),
        figure("bytes a record as msgpack alone", raw, "B", digits=1),
        figure("a message played at 1x comes too late, median", statistics.median(late), "ms", digits=2),
        figure("the same, 99th percentile", late[int(len(late) * 0.99)], "ms", digits=2),
    ]


def _log(messages: int, records: int, apart_ns: int) -> list[Logged]:
    """As a vertex writes it."""
    values, found = _values(messages * records), list[Logged]()
    for number in range(messages):
        part = slice(number * records, (number + 1) * records)
        ordinals = list(range(part.start, part.stop))
        counters = Counters(part.stop, part.stop)
        commit = Commit(1, number + 1, {"a.out>in": (number, records)}, counters=counters, ports={"out": PortDigest(part.stop, "ab" * 32)})
        body = encode_batch(values[part], ordinals, ordinals, 0, None)
        stored_ns = 10**18 + number * apart_ns
        found.append(Logged(subjects.port(*PLACE, "source", "out"), number + 1, stored_ns, {HEADER: encode_commit(commit)}, body))
    return found


def _values(count: int) -> list[bytes]:
    return [_pack(one.value) for one in readings(Load(count=count), None)]


def _write(path: Path, log: list[Logged]) -> None:
    path.unlink(missing_ok=True)
    recorder = Recorder(path, {"format": "thalweg-replay/1", "capture": "all"}, SPEC, lambda vertex, port: "json", is_gapless=True)
    for one in log:
        recorder.add(one)
    recorder.seal({}, None)


def _write_plainly(path: Path, log: list[Logged]) -> None:
    """The same messages, with headers, by the package alone: at the same chunk size and its own compression."""
    with path.open("wb") as file:
        writer = Writer(file, chunk_size=1 << 20, compression=CompressionType.ZSTD, enable_data_crcs=True)
        writer.start()
        headers, bodies = (writer.register_channel(topic, encoding, 0) for topic, encoding in (("headers", "json"), ("body", "msgpack")))
        for one in log:
            writer.add_message(headers, one.time_ns, msgspec.json.encode(one.headers), one.time_ns, one.sequence)
            writer.add_message(bodies, one.time_ns, one.data, one.time_ns, one.sequence)
        writer.finish()  # type: ignore[no-untyped-call]


def _read_plainly(path: Path) -> None:
    with path.open("rb") as file:
        for _ in make_reader(file, validate_crcs=True).iter_messages(log_time_order=False):
            pass


def _cpu_s(work: Callable[[], object]) -> float:
    """Of this process: what else the machine does counts as little as can be."""
    started = time.process_time()
    work()
    return time.process_time() - started


async def _lateness_ms(stage: Stage) -> list[float]:
    """By how much each message comes later than its distance from the first one."""
    path, log, arrived = stage.folder / "played.mcap", _log(PLAYED, 10, APART_NS), list[float]()
    _write(path, log)
    client = await nats.connect(stage.stack.nats_url)

    async def on_message(message: Msg) -> None:
        arrived.append(time.perf_counter())

    await client.subscribe(subjects.port("default", "bench-play", "source", "out"), cb=on_message)
    await client.flush()
    command = [sys.executable, "-m", "thalweg_cli", "replay", "play", str(path), "--speed", "1", "--name", "bench-play"]
    done = await asyncio.to_thread(subprocess.run, command, env=stage.environment, capture_output=True, text=True, check=False)
    await client.close()
    if done.returncode or len(arrived) != PLAYED:
        raise SystemExit(f"{len(arrived)} of {PLAYED} messages arrived; {done.stderr}")
    late = [1e3 * (at - arrived[0]) - index * APART_NS / 1e6 for index, at in enumerate(arrived)]
    return [one - min(late) for one in late]
