"""What crosses the boundary of a deployment, as bytes and ids."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from thalweg.wire.batch import batch_decoder, encode_batch
from thalweg.wire.boundary import count_records, inlet_body, inlet_id, inlet_sequence, release

_pack = msgspec.msgpack.encode


@given(st.lists(st.integers(0, 9)))
def test_the_records_of_a_batch_are_counted_without_decoding_it(values: list[int]) -> None:
    assert count_records(encode_batch([_pack(one) for one in values], values, values, 0, None)) == len(values)


def test_large_batches_are_counted() -> None:
    for count in (15, 16, 65_535, 65_536):
        assert count_records(encode_batch([b"\x00"] * count, [0] * count, [0] * count, 0, None)) == count


def test_records_leave_with_their_number_id_root_and_time() -> None:
    body = encode_batch([_pack("a"), _pack({"b": 1})], [5, 6], [70, 90], 0, b"state", [70, 7])
    released, state = release(body, 12)
    assert state == b"state" and [msgspec.msgpack.decode(one.value) for one in released] == ["a", {"b": 1}]
    assert released[1].headers == {"Tw-Number": "12", "Tw-Id": f"{90:016x}", "Tw-Root": f"{7:016x}", "Tw-Time": "6"}
    assert (released[0].headers["Tw-Number"], released[0].headers["Tw-Root"]) == ("11", f"{70:016x}")


def test_the_root_of_a_record_is_its_id_where_a_batch_does_not_say() -> None:
    batch = batch_decoder(int).decode(encode_batch([b"\x01", b"\x02"], [0, 0], [8, 9], 0, None))
    assert batch.r is None and list(batch.roots()) == [8, 9]


@given(st.integers(1, (1 << 40) - 1), st.text("abc", min_size=1))
def test_the_sequence_is_found_in_an_id(sequence: int, vertex: str) -> None:
    assert inlet_sequence(vertex, inlet_id(vertex, sequence)) == sequence
    assert inlet_sequence(vertex + "-other", inlet_id(vertex, sequence)) is None


def test_whatever_comes_from_outside_is_one_record_inside() -> None:
    for data in (b"", b"\xc1", _pack([1, 2, 3])):
        batch = batch_decoder(bytes).decode(inlet_body("door", 3, 99, data))
        assert (batch.v, batch.t, list(batch.ids())) == ([data], [99], [inlet_id("door", 3)])
