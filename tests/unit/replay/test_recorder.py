"""Replays: the same log gives the same file whatever was killed; other tools read it; damage is found, and the rest is read."""

from __future__ import annotations

import errno
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from mcap.reader import make_reader

from thalweg.errors import RejectedError
from thalweg.replay.outline import footer_of
from thalweg.replay.proof import evidence_faults
from thalweg.replay.reader import Replay
from thalweg.wire.digest import Chain
from unit.replay.logs import ACCOUNT, SPEC, WRITTEN, log, record, recorder

SOURCE, BLOBS = "tw.w.d.v.source.out.0", "tw.w.d.v.blobs.out.0"


def test_a_replay_gives_the_records_back_and_proves_itself_whole(tmp_path: Path) -> None:
    path, messages = tmp_path / "a.mcap", log()
    record(path, messages)
    replay = Replay(path)
    assert replay.verify() and replay.faults == []
    assert replay.spec == SPEC
    account = replay.completeness
    assert account is not None and account.complete and (account.first, account.last) == (1, len(messages))
    assert (account.subjects[SOURCE].messages, account.subjects[SOURCE].records, account.subjects[SOURCE].written) == (100, 300, 300)
    assert account.subjects[BLOBS].messages == 31 and account.subjects[BLOBS].records == 30
    found = list(replay.records("source", "out"))
    assert [msgspec.msgpack.decode(one.packed) for one in found] == list(range(300))
    assert [(one.index, one.time_ns, one.record_id) for one in found] == [(n, n * 5, n) for n in range(300)]
    assert [len(one.packed) for one in replay.records("blobs", "out")] == [100_005] * 30
    chain = Chain()
    chain.extend([msgspec.msgpack.encode(n) for n in range(300)], [n * 5 for n in range(300)])
    assert replay.digest("source", "out") == (300, chain.stored(300, 0).digest)


def test_the_evidence_in_a_replay_is_that_of_its_run(tmp_path: Path) -> None:
    record(tmp_path / "a.mcap", log())
    replay = Replay(tmp_path / "a.mcap")
    assert replay.account == ACCOUNT
    count, digest = replay.digest("source", "out")
    ports = {"source": {"ports": {"out": {"count": count, "digest": digest}}}}
    assert evidence_faults(replay, {"vertices": ports}) == []
    other = {**ports, "blobs": {"ports": {"out": {"count": 30, "digest": digest}}}}
    assert [line.partition(" with")[0] for line in evidence_faults(replay, {"vertices": other})] == ["blobs.out has 30 records"]


def test_the_messages_of_the_log_can_be_made_again(tmp_path: Path) -> None:
    messages = log()
    record(tmp_path / "a.mcap", messages)
    entries = list(Replay(tmp_path / "a.mcap").entries())
    assert [(one.subject, one.sequence, one.time_ns) for one in entries] == [(one.subject, one.sequence, one.time_ns) for one in messages]
    assert all(one.body in (None, message.data) for one, message in zip(entries, messages, strict=True))
    assert sum(one.body is None for one in entries) == 10  # snapshots of state


def test_a_reader_that_is_not_ours_finds_nothing_wrong(tmp_path: Path) -> None:
    record(tmp_path / "a.mcap", log())
    with (tmp_path / "a.mcap").open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None and summary.statistics is not None
        messages = list(reader.iter_messages())
        assert len(messages) == summary.statistics.message_count
        by_topic = {channel.topic: (schema.name if schema else None) for schema, channel, _ in messages}
        assert by_topic[SOURCE] == "int" and by_topic[BLOBS] == "bytes"
        numbers = list(reader.iter_messages(topics=[SOURCE]))
        assert [n for _, _, one in numbers for n in msgspec.msgpack.decode(one.data)["v"]] == list(range(300))
        assert [one.name for one in reader.iter_metadata()] == ["thalweg.replay", "thalweg.evidence", "thalweg.completeness"]
        assert [one.name for one in reader.iter_attachments()] == ["spec.json", "evidence.json"]


@pytest.mark.parametrize("seed", range(6))
def test_a_recording_that_is_killed_again_and_again_is_the_same_file(tmp_path: Path, seed: int) -> None:
    rng, messages = random.Random(seed), log()
    whole = record(tmp_path / "whole.mcap", messages)
    path = tmp_path / "killed.mcap"
    one, place = recorder(path), 0
    for _ in range(12):
        until = min(len(messages), place + rng.randrange(30))
        for message in messages[place:until]:
            one.add(message)
        if rng.random() < 0.5:
            one.sync()
        one.close()
        _tear(path, rng)
        one = recorder(path)
        place = one.next_sequence - 1
        assert place <= until
    for message in messages[place:]:
        one.add(message)
    one.seal(WRITTEN, None, account=ACCOUNT)
    assert path.read_bytes() == whole
    again = recorder(path)  # killed between the end of the file and its upload
    assert again.next_sequence == len(messages) + 1
    again.seal(WRITTEN, None, account=ACCOUNT)
    assert path.read_bytes() == whole


def _tear(path: Path, rng: random.Random) -> None:
    """A write that was cut short: of the next chunk, of the tail's next entry."""
    kind = rng.randrange(3)
    if kind == 0:
        with path.open("ab") as file:
            file.write(b"\x06" + (500_000).to_bytes(8, "little") + rng.randbytes(rng.randrange(1000)))
    elif kind == 1:
        with path.with_suffix(".tail").open("ab") as file:
            file.write((1000).to_bytes(4, "little") + rng.randbytes(10))


def test_what_is_missing_is_told_and_never_passed_off_as_whole(tmp_path: Path) -> None:
    messages = log()
    del messages[40:43]
    record(tmp_path / "a.mcap", messages)
    replay = Replay(tmp_path / "a.mcap")
    assert not replay.verify()
    assert replay.completeness is not None and replay.completeness.gaps == [(41, 43)]
    assert "1 gaps in the log" in (replay.completeness.reason or "")


def test_a_port_with_fewer_records_than_its_vertex_has_written_is_incomplete(tmp_path: Path) -> None:
    one = recorder(tmp_path / "a.mcap")
    for message in log()[:50]:
        one.add(message)
    found = one.seal(WRITTEN, None)
    assert not found.complete and "source.out: " in (found.reason or "")


def test_a_full_disk_leaves_what_was_whole_and_says_incomplete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, messages = recorder(tmp_path / "a.mcap"), log()
    for message in messages[:60]:
        one.add(message)
    real = one._file

    class Full:
        """A file on a disk with room for a hundred bytes more."""

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def write(self, data: Any) -> int:
            if len(data) > 100:
                real.write(data[:100])
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(one, "_file", Full())
    with pytest.raises(OSError, match="No space"):
        one.seal(WRITTEN, "the disk is full")
    one.cut()
    replay = Replay(tmp_path / "a.mcap")
    assert not replay.is_complete and replay.faults
    assert 0 < len(list(replay.entries())) < 60


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_of_a_truncated_file_the_beginning_is_read(tmp_path: Path, share: float) -> None:
    whole = record(tmp_path / "a.mcap", log())
    path = tmp_path / "cut.mcap"
    path.write_bytes(whole[: int(len(whole) * share)])
    replay = Replay(path)
    found = [msgspec.msgpack.decode(one.packed) for one in replay.records("source", "out")]
    assert found == list(range(len(found)))
    assert not replay.verify() and not replay.is_complete
    assert share < 0.5 or found


def test_a_flipped_byte_is_found_anywhere_behind_the_data(tmp_path: Path) -> None:
    whole, path = record(tmp_path / "a.mcap", log()[:12]), tmp_path / "flipped.mcap"
    intact = Replay(tmp_path / "a.mcap")
    intact.verify()
    assert intact.faults == []
    with (tmp_path / "a.mcap").open("rb") as file:
        start = footer_of(file).summary_start - 13  # with the end of the data
    for place in [*range(start, start + 40), *range(len(whole) - 60, len(whole))]:
        flipped = bytearray(whole)
        flipped[place] ^= 0x41
        path.write_bytes(flipped)
        replay = Replay(path)
        replay.verify()
        assert replay.faults, place
        assert len(list(replay.entries())) == 12


@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_bit_is_found_wherever_it_is_and_what_is_intact_is_read(tmp_path: Path, seed: int) -> None:
    whole = bytearray(record(tmp_path / "a.mcap", log()))
    place = random.Random(seed).randrange(len(whole)) if seed > 8 else (seed if seed < 4 else len(whole) - seed * 20)
    whole[place] ^= 1 << (seed % 8)
    path = tmp_path / "flipped.mcap"
    path.write_bytes(whole)
    if place < 8:
        with pytest.raises(RejectedError, match="no replay"):
            Replay(path)
        return
    replay = Replay(path)
    assert not replay.verify(), place
    entries = {one.sequence for one in replay.entries()}
    assert len(entries) > 30, place
