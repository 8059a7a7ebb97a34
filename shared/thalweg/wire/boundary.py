"""What crosses the boundary of a deployment: bare msgpack values, with ids that both sides can work out."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from thalweg.wire.batch import Batch, encode_batch
from thalweg.wire.ids import source_base

ID_HEADER, ROOT_HEADER, TIME_HEADER, NUMBER_HEADER = "Tw-Id", "Tw-Root", "Tw-Time", "Tw-Number"
RECORDS_HEADER = "Tw-Records"  # how many a batch of a traced graph has
ORDINAL_BITS = 40
_pack = msgspec.msgpack.Encoder().encode
_raw = msgspec.msgpack.Decoder(Batch[msgspec.Raw])


def inlet_id(vertex: str, sequence: int) -> int:
    """Id of a record from outside: its vertex, and the sequence on the log that the server acknowledged it with."""
    return source_base(vertex) + sequence


def inlet_sequence(vertex: str, record_id: int) -> int | None:
    """Inverse of `inlet_id`; None for an id of another vertex."""
    sequence = record_id - source_base(vertex)
    return sequence if 0 < sequence < 1 << ORDINAL_BITS else None


def inlet_body(vertex: str, sequence: int, time_ns: int, data: bytes) -> bytes:
    """A message from outside as a batch inside the graph: one record, the bytes as they came, when the server stored them."""
    return encode_batch([_pack(data)], [time_ns], [inlet_id(vertex, sequence)], -(2**63), None)


@dataclass(frozen=True, slots=True)
class Released:
    """One record as it leaves the graph: headers, and its bare value."""

    headers: dict[str, str]
    value: bytes


def release(body: bytes, count: int) -> tuple[list[Released], bytes | None]:
    """The records of a batch as they leave, and the state that is in it.

    Args:
        body: the batch.
        count: of the records of its port up to its end; they are numbered from 1.
    """
    batch = _raw.decode(body)
    first = count - len(batch.v) + 1
    columns = zip(batch.v, batch.t, batch.ids(), batch.roots(), strict=True)
    found = [
        Released(
            {NUMBER_HEADER: str(first + index), ID_HEADER: f"{own:016x}", ROOT_HEADER: f"{root:016x}", TIME_HEADER: str(time_ns)},
            bytes(value),
        )
        for index, (value, time_ns, own, root) in enumerate(columns)
    ]
    return found, batch.s


def count_records(body: bytes) -> int:
    """How many records a batch has, read from its first bytes."""
    kind = body[3]
    if kind == 0xDC:
        return int.from_bytes(body[4:6], "big")
    if kind == 0xDD:
        return int.from_bytes(body[4:8], "big")
    return kind & 0x0F
