"""Runs that their inputs do not determine, run again in memory: in the order in which things came then, with the answers of then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from thalweg.errors import RejectedError
from thalweg.replay.reader import Replay
from thalweg.sdk.catalog import Catalog
from thalweg.testing import run_replay
from unit.replay.runs import capture

COMPONENTS = """
import os
from collections.abc import Iterator
from typing import ClassVar
from pydantic import BaseModel
from thalweg import Context, Emit, component

class Count(BaseModel):
    count: int = 40

@component("numbers", version="1.0.0")
def numbers(params: Count) -> Iterator[int]:
    yield from range(params.count)

@component("mixed", version="1.0.0", combine="arrival")
class Mixed:
    seen: int = 0
    def on_a(self, record: int, context: Context) -> list[int]:
        self.seen += 1
        return [self.seen, record]
    def on_b(self, record: int, context: Context) -> list[int]:
        return self.on_a(-record, context)

@component("funnel", version="1.0.0", combine="arrival")
def funnel(record: int) -> int:
    return record

@component("lookup", version="1.0.0", deterministic=False)
class Lookup:
    outputs: ClassVar = {"word": str, "more": str}
    def process(self, record: int) -> Iterator[Emit[str]]:
        for _ in range(record % 3):
            yield Emit(os.urandom(4).hex(), port="word")
            yield Emit(os.urandom(4).hex(), port="more", time_ns=record + 5)

@component("sum-up", version="1.0.0", deterministic=False)
class SumUp:
    outputs: ClassVar = {"out": str}
    def process(self, record: int) -> None:
        self.last = record
    def finish(self, context: Context) -> str:
        return os.urandom(4).hex()

@component("shout", version="1.0.0")
def shout(record: str) -> str:
    return record.upper()
"""
CONTENT: dict[str, Any] = {
    "backend": "chance",
    "vertices": {
        "left": {"component": "numbers@1.0.0"},
        "right": {"component": "numbers@1.0.0", "params": {"count": 30}},
        "mixed": {"component": "mixed@1.0.0"},
        "funnel": {"component": "funnel@1.0.0"},
        "few": {"component": "filter@1.0.0", "params": {"where": "value > 9"}},
        "lookup": {"component": "lookup@1.0.0"},
        "shout": {"component": "shout@1.0.0"},
        "sum": {"component": "sum-up@1.0.0"},
    },
    "edges": [
        "left.out -> mixed.a",
        "right.out -> mixed.b",
        "left.out -> funnel.in",
        "right.out -> funnel.in",
        "left.out -> few.in",
        "few.out -> lookup.in",
        "lookup.word -> shout.in",
        "left.out -> sum.in",
    ],
}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    path = tmp_path_factory.mktemp("code") / "chance.py"
    path.write_text(COMPONENTS)
    return Catalog(paths=(path,))


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory, catalog: Catalog) -> Path:
    folder = tmp_path_factory.mktemp("chance")
    return capture(folder / "run.mcap", CONTENT, catalog, folder, arrived=3)


def test_what_came_first_then_comes_first_again_and_answers_are_those_of_then(replay: Path, catalog: Catalog, tmp_path: Path) -> None:
    found = run_replay(replay, catalog=catalog, workdir=tmp_path)
    assert found.is_same and found.answered == ["lookup"] and not found.notes, str(found)
    assert {one.vertex for one in found.changes} == {"mixed", "funnel", "few", "lookup", "shout"}  # what sums up is given whole
    for vertex in ("mixed", "funnel", "lookup"):
        for port, digest in found.results[vertex].digests.items():
            assert digest == Replay(replay).digest(vertex, port)[1]


def test_another_order_would_have_given_something_else(replay: Path, catalog: Catalog, tmp_path: Path) -> None:
    other = capture(tmp_path / "run.mcap", CONTENT, catalog, tmp_path, arrived=4)
    assert Replay(other).digest("mixed", "out") != Replay(replay).digest("mixed", "out")


def test_records_that_are_not_there_any_more_leave_the_order_of_the_rest(replay: Path, catalog: Catalog, tmp_path: Path) -> None:
    content = {**CONTENT, "vertices": {**CONTENT["vertices"], "odd": {"component": "filter@1.0.0", "params": {"where": "value >= 0"}}}}
    content["edges"] = ["left.out -> odd.in", "odd.out -> funnel.in", "right.out -> funnel.in"]
    content["vertices"] = {name: content["vertices"][name] for name in ("left", "right", "odd", "funnel")}
    # `odd` is no source, so its messages are on the log behind those of the sources, and so is its order
    before = capture(tmp_path / "run.mcap", content, catalog, tmp_path)
    found = run_replay(before, catalog=catalog, sets={"odd.where": "value % 2 == 1"}, workdir=tmp_path)
    assert found.results["funnel"].out == [*range(30), *range(1, 40, 2)]


def test_a_record_that_was_never_asked_is_left_out_and_counted(replay: Path, catalog: Catalog, tmp_path: Path) -> None:
    fewer = run_replay(replay, catalog=catalog, sets={"few.where": "value > 20"}, workdir=tmp_path)
    assert not fewer.notes and {one.vertex for one in fewer.changes if one.changed} == set()
    more = run_replay(replay, catalog=catalog, sets={"few.where": "value > 5"}, workdir=tmp_path)
    assert more.notes == ["lookup: the replay has no answer to 4 records, which were left out (dead letters): `--live lookup` asks it now"]
    assert [one.is_same for one in more.changes if one.vertex in ("lookup", "shout")] == [True, True, True]
    assert "no answer of lookup for it" in more.results["lookup"].dead[0]["error"]


def test_a_vertex_runs_live_where_it_is_asked_for_or_another_one(replay: Path, catalog: Catalog, tmp_path: Path) -> None:
    live = run_replay(replay, catalog=catalog, live=["lookup"], workdir=tmp_path)
    assert not live.answered and [one.changed for one in live.changes if one.vertex == "lookup"] == [
        one.before for one in live.changes if one.vertex == "lookup"
    ]
    given = run_replay(replay, catalog=catalog, recorded=["lookup"], workdir=tmp_path)
    assert given.is_same and not given.answered and "lookup" not in {one.vertex for one in given.changes}
    with pytest.raises(RejectedError, match="left cannot run live: it is a source"):
        run_replay(replay, catalog=catalog, live=["left"])
    with pytest.raises(RejectedError, match="lookup cannot run live: it is to be given"):
        run_replay(replay, catalog=catalog, live=["lookup"], recorded=["lookup"])
    with pytest.raises(RejectedError, match="no vertex 'luckup'"):
        run_replay(replay, catalog=catalog, live=["luckup"])


def test_partitions_give_their_own_answers_and_are_read_in_the_order_of_then(catalog: Catalog, tmp_path: Path) -> None:
    vertices = {name: CONTENT["vertices"][name] for name in ("left", "right", "lookup", "funnel")}
    vertices["lookup"] = {**vertices["lookup"], "partitions": 3}
    vertices["funnel"] = {**vertices["funnel"], "partitions": 2}
    edges = ["left.out -> lookup.in", "left.out -> funnel.in", "right.out -> funnel.in"]
    before = capture(tmp_path / "run.mcap", {"backend": "split", "vertices": vertices, "edges": edges}, catalog, tmp_path, arrived=7)
    found = run_replay(before, catalog=catalog, workdir=tmp_path)
    assert found.is_same and found.answered == ["lookup"] and not found.notes, str(found)
    assert {one.vertex for one in found.changes} == {"lookup~1", "lookup~2", "lookup~3", "funnel~1", "funnel~2"}


def test_what_was_not_captured_is_named(catalog: Catalog, tmp_path: Path) -> None:
    content = {**CONTENT, "edges": [*CONTENT["edges"], "few.out -> funnel.in"]}
    before = capture(tmp_path / "run.mcap", content, catalog, tmp_path, captured="left.out,right.out,shout.out,mixed.out")
    found = run_replay(before, catalog=catalog, workdir=tmp_path)
    assert found.notes == [
        "funnel takes records as they come: their order, and what follows it, may differ (few.out was not captured)",
        "sum is not deterministic, and runs: sum.out was not captured; it, and what follows it, may differ",
        "lookup is not deterministic, and runs: lookup.word was not captured; it, and what follows it, may differ",
    ]
