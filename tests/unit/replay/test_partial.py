"""A window that is run again is compared as far as all that its records come from is in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from thalweg.errors import RejectedError
from thalweg.graph.pipeline import Pipeline
from thalweg.graph.plan import Plan, check_pipeline
from thalweg.replay.completeness import Stretch
from thalweg.replay.partial import Beside, Inside, check_rerun
from thalweg.replay.reader import Record, Replay
from thalweg.replay.recorder import Recorder
from thalweg.sdk.catalog import Catalog
from thalweg.wire import subjects
from thalweg.wire.batch import encode_batch
from thalweg.wire.commit import HEADER, Commit, encode_commit
from thalweg.wire.logged import Logged
from thalweg.wire.spec import DeploymentSpec, EdgeSpec, VertexSpec

EDGE = EdgeSpec("rows", "out", "in", "int")
SPEC = DeploymentSpec(
    "w",
    "d",
    "graph",
    [
        VertexSpec("rows", "c@1", "", "", "source", outputs={"out": "int"}),
        VertexSpec("twice", "c@1", "", "", "processor", inputs=[EDGE], outputs={"out": "int"}),
    ],
    capture="all",
)


def _window(path: Path) -> Replay:
    """Messages 10 to 16: of two records that were read before it, of two in one commit with one before it, then of those within."""
    recorder = Recorder(
        path, {"format": "thalweg-replay/1", "capture": "all"}, msgspec.json.encode(SPEC), lambda *_: "int", is_gapless=True, start=10
    )

    def write(sequence: int, vertex: str, records: list[int], read_up_to: int = 0) -> None:
        positions = {EDGE.key: (read_up_to, 1)} if read_up_to else {}
        body = encode_batch([msgspec.msgpack.encode(one) for one in records], records, records, 0, None)
        headers = {HEADER: encode_commit(Commit(1, sequence, positions=positions))}
        recorder.add(Logged(subjects.port("w", "d", vertex, "out"), sequence, sequence, headers, body))

    write(10, "twice", [1, 2], 5)
    write(11, "rows", [4])
    write(12, "twice", [3, 4], 11)
    write(13, "rows", [5])
    write(14, "rows", [6, 7])
    write(15, "twice", [5, 6], 14)
    write(16, "rows", [8])
    recorder.seal({}, None, window=Stretch(1.0, 10, 16, "asked for"))
    return Replay(path)


class _Run:
    """A run of the records that are in the window, which it reads to its end."""

    def records(self, vertex: str, port: str) -> Iterator[Record]:
        return (Record(n, 0, 0, one, one, msgspec.msgpack.encode(one)) for n, one in enumerate([4, 5, 6, 7, 8]))


def test_what_comes_from_before_a_window_and_what_it_had_not_worked_on_is_left_out_of_both(tmp_path: Path) -> None:
    inside = Inside(_window(tmp_path / "w.mcap"), SPEC, ["rows"])
    assert [one.record_id for one in inside.records("twice", "out")] == [5, 6]
    assert [one.record_id for one in Beside(inside, _Run()).records("twice", "out")] == [5, 6]
    assert [one.record_id for one in inside.records("rows", "out")] == [4, 5, 6, 7, 8]


def _plan(*edges: str, **components: str) -> Plan:
    vertices = {name: {"component": component, "params": _PARAMS.get(name, {})} for name, component in components.items()}
    plan = check_pipeline(Pipeline.model_validate({"backend": "g", "vertices": vertices, "edges": list(edges)}), Catalog(), Path())
    plan.raise_if_faulty()
    return plan


_PARAMS = {
    "rows": {"every_s": 1, "live": True},
    "some": {"where": "index > 1"},
    "first": {"key": ["index"]},
}


def test_a_vertex_with_state_keeps_a_window_from_being_run_again() -> None:
    check_rerun(_plan("rows.out -> some.in", rows="timer-source@1.0.0", some="filter@1.0.0"))
    with pytest.raises(RejectedError) as refused:
        check_rerun(_plan("rows.out -> first.in", rows="timer-source@1.0.0", first="deduplicate@1.0.0"))
    assert refused.value.code == "replay.window" and "first keeps" in str(refused.value)
    assert refused.value.hint is not None and refused.value.hint.startswith("--recorded first gives")
