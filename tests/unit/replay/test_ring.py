"""The last part of a log on the disk: bounded in time and bytes, the same after a kill, saved as a replay that is whole in itself."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from thalweg.replay import ring as rings
from thalweg.replay.format import entry_of
from thalweg.replay.reader import Replay
from thalweg.replay.ring import Ring, is_boundary
from thalweg.replay.windows import write_window
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
        VertexSpec("blobs", "c@1", "", "", "source", outputs={"out": "bytes", "more": "bytes"}),
    ],
    capture="all",
    capture_last_s=1.0,
)
SECOND = 10**9


def _log(count: int, blob_bytes: int = 1000) -> list[Logged]:
    """A number and a commit of four messages at a time, on two ports and one of them in two pieces, ten of both a second."""
    rng, found = random.Random(3), list[Logged]()

    def write(subject: str, data: bytes, headers: dict[str, str], time_ns: int) -> None:
        found.append(Logged(subject, len(found) + 1, time_ns, headers, data))

    for number in range(count):
        at = SECOND * 1000 + number * SECOND // 10
        text = encode_commit(Commit(1, number + 1, ports={"out": PortDigest(number + 1, "00")}))
        body = encode_batch([msgspec.msgpack.encode(number)], [number], [number], number, None)
        write(subjects.port(*PLACE, "source", "out"), body, {HEADER: text}, at)
        both = encode_commit(Commit(1, number + 1, ports={"out": PortDigest(number + 1, "00"), "more": PortDigest(number + 1, "00")}))
        blob = encode_batch([msgspec.msgpack.encode(rng.randbytes(blob_bytes))], [number], [number], number, None)
        write(subjects.port(*PLACE, "blobs", "out"), blob[:500], {CHUNK_HEADER: "1/2"}, at)
        write(subjects.port(*PLACE, "blobs", "out"), blob[500:], {CHUNK_HEADER: "2/2", HEADER: both}, at)
        write(subjects.port(*PLACE, "blobs", "more"), blob, {HEADER: both}, at)
    return found


_opened: list[Ring] = []


def _ring(folder: Path, last_s: float = 1.0, max_bytes: int = 1 << 30) -> Ring:
    _opened.append(Ring(folder, last_s, max_bytes))
    return _opened[-1]


@pytest.fixture(autouse=True)
def _closing() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


def _filled(folder: Path, messages: list[Logged], last_s: float = 1.0, max_bytes: int = 1 << 30) -> Ring:
    ring = _ring(folder, last_s, max_bytes)
    for message in messages:
        ring.add(message)
    return ring


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rings, "SEGMENT_BYTES", 10_000)
    monkeypatch.setattr(rings, "MAX_SEGMENT_BYTES", 50_000)


@pytest.mark.usefixtures("small")
def test_a_window_is_whole_in_itself_and_says_which_part_of_the_run_it_is(tmp_path: Path) -> None:
    messages = _log(200)
    found = write_window(tmp_path / "window.mcap", _filled(tmp_path / "ring", messages), SPEC, "asked for")
    replay = Replay(tmp_path / "window.mcap")
    assert found.complete and replay.verify(), (found.reason, replay.faults)
    assert found.window is not None and found.window.cause == "asked for"
    assert (found.last, found.window.to_ns) == (len(messages), messages[-1].time_ns)
    assert messages[-1].time_ns - found.window.from_ns == SECOND  # ten rounds, and the one at which they begin
    numbers = [msgspec.msgpack.decode(one.packed) for one in replay.records("source", "out")]
    assert numbers == list(range(189, 200))
    assert len(list(replay.records("blobs", "out"))) == len(list(replay.records("blobs", "more"))) == 11
    written = {subject: one.written for subject, one in found.subjects.items()}
    assert written == dict.fromkeys(written, 11)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("seed", range(4))
def test_a_ring_that_is_killed_again_and_again_holds_the_same_as_one_that_was_not(tmp_path: Path, seed: int) -> None:
    rng, messages = random.Random(seed), _log(100)
    write_window(tmp_path / "whole.mcap", _filled(tmp_path / "whole", messages, last_s=4.0), SPEC, "x")
    place = 0
    while place < len(messages):
        ring = _ring(tmp_path / "killed", 4.0)
        assert ring.next_sequence <= place + 1
        for message in messages[ring.next_sequence - 1 : place + rng.randrange(1, 60)]:
            ring.add(message)
        place = ring.next_sequence - 1
        ring.close()
        tail = tmp_path / "killed" / "tail"
        tail.write_bytes(tail.read_bytes()[: -rng.randrange(1, 300)])  # what was not synced
    ring = _ring(tmp_path / "killed", 4.0)
    for message in messages[ring.next_sequence - 1 :]:
        ring.add(message)
    write_window(tmp_path / "killed.mcap", ring, SPEC, "x")
    assert (tmp_path / "killed.mcap").read_bytes() == (tmp_path / "whole.mcap").read_bytes()


@pytest.mark.usefixtures("small")
def test_a_ring_takes_no_more_disk_than_it_may_and_says_how_far_back_it_reaches(tmp_path: Path) -> None:
    ring = _filled(tmp_path / "ring", _log(300), last_s=1000.0, max_bytes=150_000)
    on_disk = sum(path.stat().st_size for path in (tmp_path / "ring").iterdir())
    extent = ring.extent()
    assert 50_000 < on_disk <= 150_000 and extent.first > 1 and extent.to_ns - extent.from_ns < 30 * SECOND
    found = write_window(tmp_path / "window.mcap", ring, SPEC, "x")
    assert found.complete and found.first == extent.first


def test_what_is_old_goes_though_nothing_fills_the_disk(tmp_path: Path) -> None:
    ring = _filled(tmp_path / "ring", _log(60, blob_bytes=100_000), last_s=0.5)
    assert len(list((tmp_path / "ring").glob("*.segment"))) <= 3 and ring.extent().first > 1


@pytest.mark.usefixtures("small")
def test_nothing_is_removed_while_it_is_read_and_what_is_added_meanwhile_is_not_in_it(tmp_path: Path) -> None:
    messages = _log(200)
    ring = _filled(tmp_path / "ring", messages[:400], last_s=4.0)
    reading = ring.window()
    found = [next(reading)]
    for message in messages[400:]:
        ring.add(message)
    found += reading
    assert [one.sequence for one in found] == list(range(found[0].sequence, 401))


def test_a_window_with_a_hole_in_it_says_so(tmp_path: Path) -> None:
    messages = _log(20)
    found = write_window(tmp_path / "window.mcap", _filled(tmp_path / "ring", messages[:60] + messages[64:]), SPEC, "x")
    assert not found.complete and found.gaps == [(61, 64)]


def test_a_log_is_cut_between_commits_only() -> None:
    entries = [entry_of(one) for one in _log(3)]
    cuts = [number for number in range(1, len(entries)) if is_boundary(entries[number - 1], entries[number])]
    assert cuts == [1, 4, 5, 8, 9]
