"""Sinks that prove what they have delivered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from thalweg import Context, Place, Receipt, component
from thalweg.graph.parse import parse_type
from thalweg.graph.types import STR
from thalweg.replay.counting import port_changes
from thalweg.replay.reader import Record
from thalweg.runtime.assemble import assemble
from thalweg.runtime.engine import Engine, Limits, Turn
from thalweg.sdk.component import component_of
from thalweg.sdk.release import ComponentRelease
from thalweg.testing import run_component
from thalweg.testing.run import pack
from thalweg.testing.vertex import vertex_of
from thalweg.wire.evidence import differences
from thalweg.wire.receipts import Delivered, delivered


@component("drop-off", version="1.0.0")
async def drop_off(record: str, context: Context) -> Receipt:
    """Delivers nowhere."""
    return Receipt("nowhere://", f"{context.record_id:x}")


@component("drop-offs", version="1.0.0")
class DropOffs:
    """Delivers batches nowhere, and notes where they stood."""

    seen: ClassVar[list[Place]] = []

    def setup(self, context: Context) -> None:
        """Keeps the context."""
        self.context = context

    def process(self, batch: list[str]) -> list[Receipt]:
        """A receipt for each."""
        assert len(self.context.record_ids) == len(self.context.places) == len(batch)
        self.seen.extend(self.context.places)
        return [Receipt("nowhere://", f"{one:x}") for one in self.context.record_ids]


def test_what_returns_receipts_is_a_sink() -> None:
    assert component_of(drop_off).kind == component_of(DropOffs).kind == "sink"
    assert list(component_of(drop_off).outputs) == ["receipts"]


def test_a_receipt_has_the_id_of_its_record() -> None:
    found = run_component(drop_off, ["a", "b"])
    assert [one.target for one in found.outputs["receipts"]] == ["nowhere://"] * 2
    assert len({one.reference for one in found.outputs["receipts"]}) == 2


def test_a_batch_knows_the_ids_and_places_of_its_records() -> None:
    found = run_component(DropOffs, [str(n) for n in range(200)])
    assert len({one.reference for one in found.outputs["receipts"]}) == 200
    places = DropOffs.seen
    assert len(set(places)) == 200 and places == sorted(places)


def engine_of(target: Any) -> Engine:
    release = ComponentRelease(component_of(target), "")
    return assemble(vertex_of(release, "sink", {"in": STR}), release, {}, {}, Limits(wait_s=60), parse_type)


def test_a_commit_says_who_took_the_last_record_also_after_a_restart() -> None:
    first = engine_of(drop_off)
    first.restore(None, None)
    for message in pack("from_in.out>in", ["a", "b"], [1, 2], STR, 2)[:1]:
        first.offer(message)
    while first.step() is not Turn.IDLE:
        assert first.failure is None, first.failure
    commit = first.cut().commit
    again = engine_of(drop_off)
    again.restore(commit, None)
    assert commit.target == again.cut().commit.target == "nowhere://"
    spec = vertex_of(ComponentRelease(component_of(drop_off), ""), "sink", {"in": STR})
    found = delivered(spec, commit)
    assert found is not None and (found.count, found.target) == (2, "nowhere://") and delivered(spec, None) == Delivered(0, "", "")
    assert delivered(msgspec.structs.replace(spec, kind="processor"), commit) is None
    for one in (first, again):
        one.program.close()


class Kept:
    """Receipts in memory."""

    def __init__(self, references: list[str]) -> None:
        self._references = references

    def records(self, vertex: str, port: str) -> Iterator[Record]:
        """All of them."""
        for index, reference in enumerate(self._references):
            yield Record(index, 0, 0, 0, index, msgspec.msgpack.encode(Receipt("t", reference)))


def document(digest: str, count: int = 2, delivered: bool = True) -> dict[str, Any]:
    vertex = {"ports": {"receipts": {"count": count, "digest": digest}}, "generated": {}}
    return {"vertices": {"sink": {**vertex, "delivered": {"count": count} if delivered else None}}}


def test_receipts_of_two_runs_are_compared_by_number_alone() -> None:
    assert differences(document("a"), document("b")) == []
    assert len(differences(document("a"), document("b", 3))) == 1
    assert len(differences(document("a", delivered=False), document("b", delivered=False))) == 1
    before, after = Kept(["id 1", "id 2"]), Kept(["id 3", "id 4"])
    (change,) = port_changes(before, after, [("sink", "receipts")], {("sink", "receipts")})
    assert change.is_same
    (change,) = port_changes(before, Kept(["id 3"]), [("sink", "receipts")], {("sink", "receipts")})
    assert (change.is_same, change.missing) == (False, 1)
    assert not port_changes(before, after, [("sink", "receipts")])[0].is_same
