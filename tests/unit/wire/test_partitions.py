"""Records dealt out to partitions: each to one, equal keys to the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from thalweg.graph.manifest import Manifest
from thalweg.graph.partitions import partition_of
from thalweg.graph.plan import PlannedVertex
from thalweg.runtime.inputs import Edge, Message
from thalweg.wire.batch import batch_decoder, encode_batch
from thalweg.wire.partitions import indexes
from thalweg.wire.planned import split
from thalweg.wire.spec import EdgeSpec, Share, VertexSpec
from thalweg.wire.subjects import parse_port, port, vertex_prefix

KEYS = st.text(max_size=5) | st.integers(-(2**40), 2**40) | st.binary(max_size=5) | st.booleans() | st.none()


@dataclass
class Reading:
    """A record."""

    city: Any


def vertex(name: str, *sources: str) -> VertexSpec:
    edges = [EdgeSpec(source, "out", "in", "int") for source in sources]
    return VertexSpec(name, "c@1", "", "", "processor", inputs=edges, outputs={"out": "int"})


@given(st.lists(KEYS), st.integers(1, 9), st.sampled_from(["city", None]))
def test_each_record_falls_to_one_partition(keys: list[Any], count: int, key: str | None) -> None:
    values, ids = [Reading(one) for one in keys], [7919 * index for index in range(len(keys))]
    dealt = [indexes(Share(index, count, key), values, ids) for index in range(count)]
    assert sorted(one for part in dealt for one in part) == list(range(len(keys)))
    assert dealt == [indexes(Share(index, count, key), [{"city": one.city} for one in values], ids) for index in range(count)]
    if key is not None:
        homes = {(type(keys[one]), keys[one]): number for number, part in enumerate(dealt) for one in part}
        assert all(homes[type(keys[one]), keys[one]] == number for number, part in enumerate(dealt) for one in part)


def test_without_a_key_records_are_dealt_out_evenly() -> None:
    ids = list(range(1000, 1100))
    assert [len(indexes(Share(index, 4), ids, ids)) for index in range(4)] == [25] * 4


def test_whoever_reads_a_vertex_reads_all_of_its_partitions() -> None:
    planned = [PlannedVertex(name, Manifest(name="c", version="1", kind="processor"), {}, "fail", {}, {}) for name in "abc"]
    whole = [vertex("a"), vertex("b", "a"), vertex("c", "b", "a")]
    assert split(whole, planned) == whole
    planned[1].partitions, planned[1].key = 2, "city"
    found = split(whole, planned)
    assert [one.name for one in found] == ["a", "b~1", "b~2", "c"]
    assert [one.share for one in found] == [None, Share(0, 2, "city"), Share(1, 2, "city"), None]
    assert [edge.src_vertex for edge in found[3].inputs] == ["b~1", "b~2", "a"]


def test_a_partition_has_subjects_of_its_own() -> None:
    assert port("w", "d", "b", "out") == "tw.w.d.v.b.out.0" and port("w", "d", "b~2", "out") == "tw.w.d.v.b.out.2"
    assert vertex_prefix("w", "d", "b~2") == "tw.w.d.v.b.*.2"
    assert [parse_port(port("w", "d", name, "out")) for name in ("b", "b~12")] == [("b", "out"), ("b~12", "out")]
    assert partition_of("b~12") == ("b", 12) and partition_of("b") == ("b", 0)


@given(st.lists(st.lists(st.integers(0, 50), max_size=6), max_size=6), st.integers(0, 40))
def test_a_partition_goes_on_where_it_stopped(messages: list[list[int]], stop: int) -> None:
    def edge(position: tuple[int, int] = (1, 0)) -> Edge:
        found = Edge("a.out>in", "in", 0, int, share=Share(1, 3))
        found.position = position
        for sequence, values in enumerate(messages, 1):
            parts = [msgspec.msgpack.encode(value) for value in values]
            found.offer(Message("a.out>in", sequence, sequence, encode_batch(parts, [0] * len(values), values, 0, None), 0, False))
        return found

    def take(found: Edge, count: int) -> list[int]:
        taken: list[int] = []
        while found.head is not None and len(taken) < count:
            taken.append(found.first.batch.v[found.first.index])
            found.take(1)
        return taken

    first = edge()
    begun = take(first, stop)
    wanted = [value for values in messages for value in values if value % 3 == 1]
    assert begun + take(edge(first.position), 1000) == wanted
    assert begun == wanted[:stop]


def test_a_part_of_a_batch_keeps_what_each_record_had() -> None:
    body = encode_batch([b"\x01", b"\x02", b"\x03"], [5, 3, 9], [70, 71, 72], -1, None, [1, 2, 3])
    whole = batch_decoder(int).decode(body)
    part = whole.part([0, 2])
    assert (part.v, part.t, part.ids(), part.progress(), part.roots()) == ([1, 3], [5, 9], [70, 72], [5, 9], [1, 3])
    assert whole.part([1]).progress() == [5]
