"""What vertices say to have written is added up over a stretch of their log, wherever it begins and whoever goes back."""

from __future__ import annotations

import msgspec

from thalweg.replay.format import entry_of
from thalweg.replay.said import Said
from thalweg.wire import subjects
from thalweg.wire.batch import encode_batch
from thalweg.wire.commit import HEADER, Commit, PortDigest, encode_commit
from thalweg.wire.logged import Logged


def _said(*commits: tuple[int, int, int, int], is_window: bool = False) -> int:
    """Of commits (number, records in it, count behind it, generation in which it went back)."""
    said = Said(is_window=is_window)
    for sequence, (number, records, count, rewound) in enumerate(commits, 1):
        commit = Commit(1 + rewound, number, ports={"out": PortDigest(count, "00")}, rewound=rewound, claim=not records)
        body = encode_batch([msgspec.msgpack.encode(0)] * records, [0] * records, [0] * records, 0, None)
        port = "out" if records else "_commit"
        said.add(entry_of(Logged(subjects.port("w", "d", "v", port), sequence, 0, {HEADER: encode_commit(commit)}, body)))
    return said.written()["v", "out"]


def test_a_run_from_its_beginning_has_all_that_its_vertex_counts() -> None:
    assert _said((1, 3, 3, 0), (2, 2, 5, 0)) == 5


def test_records_that_are_missing_are_known_to_have_been_written() -> None:
    assert _said((1, 3, 3, 0), (3, 2, 9, 0)) == 9


def test_a_window_has_what_was_written_in_it() -> None:
    assert _said((7, 3, 103, 0), (8, 2, 105, 0), is_window=True) == 5


def test_a_vertex_that_goes_back_has_written_what_it_does_again_twice() -> None:
    assert _said((1, 3, 3, 0), (2, 4, 7, 0), (3, 0, 3, 2), (4, 4, 7, 2), (5, 1, 8, 2)) == 12
